"""Thin ROS 2 nodes around the library: parameters, subscriptions, conversion, one call, publication."""
