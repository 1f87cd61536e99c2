#!/bin/sh
# Says in one line each what this machine lacks to build and run hmgen_ros, and how to get it.
# Usage: doctor.sh [PYTHON]; exit code 1 where something indispensable is missing.
python=${1:-}
failed=0

missing() { # what, how
  echo "missing: $1; get it with: $2"
  failed=1
}

warning() { # what, how
  echo "warning: no $1; get it with: $2"
}

if command -v apt-get >/dev/null 2>&1; then
  install="apt-get install"
  [ "$(id -u)" = 0 ] || install="sudo $install"
else
  install="your package manager, Debian's name:"
fi

has_library() { # soname
  "$python" -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "$1" 2>/dev/null
}

# ROS 2 Kilted has wheels up to Python 3.13.
in_range='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
if [ -z "$python" ] || ! "$python" -c "$in_range" 2>/dev/null; then
  missing "Python 3.11 to 3.13${python:+ ($python is not)}" "$install python3, or make PYTHON=/path/to/python3.12"
  exit 1
fi
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')

"$python" -c 'import venv, ensurepip' 2>/dev/null ||
  missing "Python's venv and ensurepip modules" "$install python$version-venv"
header=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include") + "/Python.h")')
[ -f "$header" ] || missing "Python headers ($header)" "$install python$version-dev"
command -v "${CXX:-g++}" >/dev/null 2>&1 || missing "C++ compiler (${CXX:-g++})" "$install g++"
command -v "${CC:-gcc}" >/dev/null 2>&1 || missing "C compiler (${CC:-gcc})" "$install gcc"
has_library libGL.so.1 || missing "OpenGL library of OpenCV (libGL.so.1)" "$install libgl1"
has_library libgthread-2.0.so.0 || missing "GLib of OpenCV (libgthread-2.0.so.0)" "$install libglib2.0-0"
has_library libportaudio.so.2 ||
  warning "PortAudio (libportaudio.so.2), the microphone stays off" "$install libportaudio2"
[ "$(uname -m)" = x86_64 ] ||
  missing "ROS 2 wheels for $(uname -m)" "an installation of ROS 2 and colcon build (see README.md)"

exit $failed
