//! Publish Socket.IO events to a Sockeye cluster from any process, without being part of it.
