"""The other end of the uplink: messages, commands, leases, releases, orders of upgrades, MQTT as bytes."""
