"""STOMP 1.0, 1.1 and 1.2, in the dialects of RabbitMQ and of ActiveMQ.

`wire` tells bytes into frames and back; `connection` is one client: its login, heart-beats, end; `channel`
is what it sends and gets; `commands` is the table of what a frame does; `destinations` and `headers` put
STOMP's words into those of the domain, which keeps messages in its neutral form.

One flow: socket read → `Scanner` → `Channel.send` → `Core.publish`; `Channel.deliver` → MESSAGE frames.
To add a frame: a function and a row in `commands.COMMANDS`; a header of messages: a row in `headers`.
"""
