//! Who is meant by a broadcast: the sockets in any of some rooms, without those in any of others.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::name::RoomName;

/// The sockets of one namespace that are in any of `rooms` and in none of `except`, each of them once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The rooms; without any, everyone in the namespace is meant.
    #[serde(with = "super::list")]
    pub rooms: SmallVec<[RoomName; 2]>,
    /// Rooms whose members are left out. The room named after a socket's id leaves out that socket.
    #[serde(with = "super::list")]
    pub except: SmallVec<[RoomName; 1]>,
}

impl Target {
    /// Everyone in the namespace.
    #[must_use]
    pub fn everyone() -> Self {
        Self::default()
    }

    /// The members of one room.
    #[must_use]
    pub fn room(room: impl Into<RoomName>) -> Self {
        Self { rooms: SmallVec::from_iter([room.into()]), except: SmallVec::new() }
    }

    /// Adds the members of another room. Everyone minus nothing plus a room is that room: the first call narrows.
    #[must_use]
    pub fn to(mut self, room: impl Into<RoomName>) -> Self {
        push_new(&mut self.rooms, room.into());
        self
    }

    /// Leaves out the members of a room.
    #[must_use]
    pub fn except(mut self, room: impl Into<RoomName>) -> Self {
        push_new(&mut self.except, room.into());
        self
    }

    /// Whether everyone in the namespace is meant, without exceptions.
    #[must_use]
    pub fn is_everyone(&self) -> bool {
        self.rooms.is_empty() && self.except.is_empty()
    }

    /// Whether a socket is meant, given a way to ask whether it is in a room. This is the definition; an index of
    /// rooms gets the same set without asking each socket.
    pub fn matches(&self, mut is_in: impl FnMut(&RoomName) -> bool) -> bool {
        (self.rooms.is_empty() || self.rooms.iter().any(&mut is_in)) && !self.except.iter().any(is_in)
    }
}

fn push_new<const N: usize>(rooms: &mut SmallVec<[RoomName; N]>, room: RoomName) {
    if !rooms.contains(&room) {
        rooms.push(room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announced_length_is_not_believed() {
        let target = Target::room("a").to("b").to("c").except("d");
        let packed = rmp_serde::to_vec(&target).unwrap();
        assert_eq!(rmp_serde::from_slice::<Target>(&packed).unwrap(), target);
        let huge = [0x92, 0xdd, 0xff, 0xff, 0xff, 0xff, 0xa1, b'a'];
        assert!(rmp_serde::from_slice::<Target>(&huge).is_err());
    }

    #[test]
    fn a_target_is_a_union_without_exceptions() {
        let target = Target::room("a").to("b").to("a").except("c");
        assert_eq!(target.rooms.len(), 2, "named once");
        let matches = |rooms: &[&str]| target.matches(|room| rooms.contains(&room.as_str()));
        assert!(matches(&["a"]) && matches(&["b"]) && matches(&["a", "b", "d"]));
        assert!(!matches(&[]) && !matches(&["d"]) && !matches(&["a", "c"]) && !matches(&["c"]));
        assert!(Target::everyone().is_everyone() && Target::everyone().matches(|_| false));
        assert!(Target::everyone().except("c").matches(|_| false));
    }
}
