"""From images and sound to people: faces, landmarks, head pose, tracks, voices and actions.

:class:`hmgen_ros.perception.pipeline.Perception` ties the parts together; each of them is usable alone.
"""
