//! A horizontally scaled Socket.IO server: library and node.
