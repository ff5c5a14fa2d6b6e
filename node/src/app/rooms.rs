//! Rooms that clients may enter by themselves: which names are allowed, and the events of `--allow-join`.

use serde::Serialize;
use sockeye::{Data, NamespaceBuilder, RoomName, Socket, SocketId};

/// The longest name of a room, in characters.
const LONGEST: usize = 64;
/// In how many rooms one client may be at a time.
const MOST: usize = 64;

/// What a client is answered: what it asked for, or `{"error": "…"}`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Reply<T> {
    Done(T),
    Refused { error: String },
}

/// Makes the ack of an event.
pub(crate) fn reply<T, E: ToString>(result: Result<T, E>) -> Data<Reply<T>> {
    Data(match result {
        Ok(done) => Reply::Done(done),
        Err(error) => Reply::Refused { error: error.to_string() },
    })
}

/// The ack of `join` and `leave`.
#[derive(Debug, Serialize)]
pub(crate) struct Entered {
    room: RoomName,
    /// The node's name.
    node: String,
}

/// Registers `join` and `leave`.
pub(crate) fn register(ns: NamespaceBuilder) -> NamespaceBuilder {
    ns.on("join", async |socket, room| reply(enter(&socket, room).map(|room| entered(&socket, room))))
        .on("leave", async |socket, room| reply(exit(&socket, room).map(|room| entered(&socket, room))))
}

fn entered(socket: &Socket, room: RoomName) -> Entered {
    Entered { room, node: socket.io().node_name().to_owned() }
}

/// Lets the client into a room.
///
/// # Errors
/// What the client is told.
pub(crate) fn enter(socket: &Socket, room: Option<Data<String>>) -> Result<RoomName, String> {
    let room = name(room)?;
    let rooms = socket.rooms();
    if !rooms.contains(&room) && rooms.len() > MOST {
        return Err(format!("you are in {MOST} rooms already; leave one first"));
    }
    socket.join(&room);
    Ok(room)
}

/// Takes the client out of a room.
///
/// # Errors
/// What the client is told.
pub(crate) fn exit(socket: &Socket, room: Option<Data<String>>) -> Result<RoomName, String> {
    let room = name(room)?;
    socket.leave(&room);
    Ok(room)
}

/// A room that the client is in.
///
/// # Errors
/// What the client is told.
pub(crate) fn own(socket: &Socket, room: &str) -> Result<RoomName, String> {
    let room = check(room)?;
    if socket.rooms().contains(&room) { Ok(room) } else { Err(format!("join the room `{room}` first")) }
}

fn name(room: Option<Data<String>>) -> Result<RoomName, String> {
    match room {
        Some(Data(room)) => check(&room),
        None => Err("the first argument must be the name of a room, a string".into()),
    }
}

/// A client must not get into a room that is another client's own: it would hear what only that one is meant to hear.
fn check(room: &str) -> Result<RoomName, String> {
    if room.trim().is_empty() {
        return Err("a room needs a name".into());
    }
    if room.chars().nth(LONGEST).is_some() {
        return Err(format!("the name of a room may have {LONGEST} characters at the most"));
    }
    if room.chars().any(char::is_control) {
        return Err("the name of a room must not have control characters".into());
    }
    if SocketId::parse(room).is_some() {
        return Err("a name like this could be a client's id; choose one that is shorter or longer".into());
    }
    Ok(RoomName::from(room))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rooms_are_checked() {
        for right in ["a", "lobby", "room 7", "größe", &"x".repeat(64), &"ü".repeat(64)] {
            assert_eq!(check(right).as_deref(), Ok(right));
        }
        for wrong in ["", "  ", &"x".repeat(65), "a\nb", "a\u{7f}", "ABCDEFGHIJKLMNOPQR_-"] {
            assert!(check(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_answer_is_what_was_asked_for_or_an_error() {
        let text = |reply: Data<Reply<u8>>| serde_json::to_string(&reply.0).unwrap();
        assert_eq!(text(reply(Ok::<_, String>(7))), "7");
        assert_eq!(text(reply(Err("no"))), r#"{"error":"no"}"#);
    }
}
