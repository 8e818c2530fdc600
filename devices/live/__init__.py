"""The only place with sockets: live ends of protocols. Its room; nothing lives here yet."""
