//! Load generator for Socket.IO servers.
