"""MQTT: packets of 3.1, 3.1.1 and 5.0, a broker, devices that publish."""
