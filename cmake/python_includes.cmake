# Puts right the include folders of Python and numpy in the targets named *__rosidl_generator_py. Include
# this after the first find_package calls. Where ROS 2 is installed in the ordinary way, nothing changes.

# Folders that do not exist: ROS 2 packages installed as Python wheels export those of the machine that
# built them, and CMake refuses such targets. Our own targets bring the folders of the Python at hand.
function(hmgen_ros_drop_missing_includes)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  list(FILTER targets INCLUDE REGEX "__rosidl_generator_py$")
  foreach(target ${targets})
    get_target_property(includes ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(NOT includes)
      continue()
    endif()
    set(existing "")
    foreach(folder ${includes})
      if(folder MATCHES "\\$<" OR IS_DIRECTORY "${folder}")
        list(APPEND existing "${folder}")
      endif()
    endforeach()
    set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${existing}")
  endforeach()
endfunction()

# Folders inside the source tree: numpy's, when the environment lies in the checkout (.venv). CMake refuses
# to export them, so they are kept to this build.
function(hmgen_ros_keep_includes_private target)
  get_target_property(includes ${target} INTERFACE_INCLUDE_DIRECTORIES)
  if(NOT includes)
    return()
  endif()
  set(marked "")
  foreach(folder ${includes})
    string(FIND "${folder}" "${PROJECT_SOURCE_DIR}/" position)
    if(position EQUAL 0)
      set(folder "$<BUILD_INTERFACE:${folder}>")
    endif()
    list(APPEND marked "${folder}")
  endforeach()
  set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${marked}")
endfunction()

# At the end of configuring, when rosidl has found all packages and made all targets.
cmake_language(DEFER CALL hmgen_ros_drop_missing_includes)
cmake_language(DEFER CALL hmgen_ros_keep_includes_private ${PROJECT_NAME}__rosidl_generator_py)
