//! The header of the native envelope: `[kind, origin kind, origin, …]`, one fixed order for each kind.

mod read;
mod write;

pub(super) use read::{HeaderSeed, OriginSeed};
pub(super) use write::{EmitHeader, write, write_emit};

// Numbers on the wire: new ones may be added, none may change.
const EMIT: u32 = 1;
const JOIN: u32 = 2;
const LEAVE: u32 = 3;
const DISCONNECT: u32 = 4;
const CLOSE_ROOM: u32 = 5;
const ASK_MEMBERS: u32 = 6;
const ASK_COUNT: u32 = 7;
const ASK_SERVER: u32 = 8;
const SERVER_EVENT: u32 = 9;
const MEMBERS: u32 = 10;
const COUNT: u32 = 11;
const SERVER_ANSWER: u32 = 12;
const ACK_COUNT: u32 = 13;
const ACKS: u32 = 14;
const HEARTBEAT: u32 = 15;
const LEAVING: u32 = 16;
const ASK_SOCKETS: u32 = 17;
const ASK_SOCKET: u32 = 18;
const ASK_NAMESPACES: u32 = 19;
const ASK_ROOMS: u32 = 20;
const ASK_OUTCOME: u32 = 21;
const SOCKETS: u32 = 22;
const NAMESPACES: u32 = 23;
const ROOMS: u32 = 24;

const NODE: u8 = 0;
const EMITTER: u8 = 1;
