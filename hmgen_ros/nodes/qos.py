"""Quality of service: sensor data in (newest wins), predictions out reliable.

nav2 and BehaviorTree.ROS2 subscribers ask for reliable delivery and never match a best-effort
publisher, so everything a planner may read is reliable.
"""

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

#: Camera images: a late image is worth less than the next one.
IMAGES = QoSProfile(
    reliability=ReliabilityPolicy.BEST_EFFORT,
    durability=DurabilityPolicy.VOLATILE,
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
)
#: Sound: best effort like every sensor, but two seconds deep, because a lost chunk is a hole.
SOUND = QoSProfile(
    reliability=ReliabilityPolicy.BEST_EFFORT,
    durability=DurabilityPolicy.VOLATILE,
    history=HistoryPolicy.KEEP_LAST,
    depth=50,
)
#: What sensors of ours publish: reliable matches reliable and best-effort subscribers alike.
SENSOR_OUT = QoSProfile(
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
    history=HistoryPolicy.KEEP_LAST,
    depth=5,
)
#: Sound of ours, likewise, two seconds deep: a recorder asks for reliable delivery.
SOUND_OUT = QoSProfile(
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
    history=HistoryPolicy.KEEP_LAST,
    depth=50,
)
#: Predictions, at most a few messages a tick: one second deep for the per-person topics of six people.
PREDICTIONS = QoSProfile(
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
    history=HistoryPolicy.KEEP_LAST,
    depth=150,
)
#: Commands to a robot's controller: the newest one replaces what came before.
COMMANDS = QoSProfile(
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
)
