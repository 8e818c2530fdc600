"""The only place with sockets: live ends of protocols. TCP listeners, pseudo-terminals, an alarm clock."""
