"""Modbus servers of devices."""
