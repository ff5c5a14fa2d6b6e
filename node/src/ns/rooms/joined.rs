//! The rooms of one socket.

use std::{collections::HashMap, ops::Deref};

use sockeye_proto::name::RoomName;

/// From this many rooms on a position map makes entering and leaving independent of their number.
const MAPPED: usize = 32;

/// The names of the rooms that one socket is in, each once, in no order.
#[derive(Debug, Default)]
pub(super) struct Joined {
    list: Vec<RoomName>,
    /// Boxed, because nearly all sockets are in few rooms and have none.
    #[allow(clippy::box_collection)]
    positions: Option<Box<HashMap<RoomName, u32>>>,
}

impl Joined {
    fn position(&self, room: &RoomName) -> Option<usize> {
        match &self.positions {
            Some(positions) => positions.get(room).map(|at| *at as usize),
            None => self.list.iter().position(|name| name == room),
        }
    }

    pub(super) fn has(&self, room: &RoomName) -> bool {
        self.position(room).is_some()
    }

    /// Adds a room that is not there.
    pub(super) fn insert(&mut self, room: RoomName) {
        if let Some(positions) = &mut self.positions {
            positions.insert(room.clone(), self.list.len() as u32);
        }
        self.list.push(room);
        if self.positions.is_none() && self.list.len() > MAPPED {
            let positions = self.list.iter().enumerate().map(|(at, room)| (room.clone(), at as u32));
            self.positions = Some(Box::new(positions.collect()));
        }
    }

    /// False if it is not there.
    pub(super) fn remove(&mut self, room: &RoomName) -> bool {
        let Some(at) = self.position(room) else { return false };
        self.list.swap_remove(at);
        if let Some(positions) = &mut self.positions {
            positions.remove(room);
            if let Some(moved) = self.list.get(at) {
                positions.insert(moved.clone(), at as u32);
            }
        }
        if self.list.len() < MAPPED / 4 {
            self.positions = None;
            self.list.shrink_to(MAPPED);
        }
        true
    }

    pub(super) fn into_list(self) -> Vec<RoomName> {
        self.list
    }
}

impl Deref for Joined {
    type Target = [RoomName];

    fn deref(&self) -> &[RoomName] {
        &self.list
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn few_or_many_it_is_a_set() {
        let name = |n: u32| RoomName::from(format!("{n}"));
        let (mut joined, mut model) = (Joined::default(), BTreeSet::new());
        // Up beyond the map and down again, with names that come back.
        let steps = (0..100).map(|n| (true, n)).chain((0..95).map(|n| (false, n * 7 % 100)));
        for (enters, n) in steps.chain((0..40).map(|n| (true, n * 3))) {
            if enters {
                assert_eq!(joined.has(&name(n)), !model.insert(name(n)));
                if !joined.has(&name(n)) {
                    joined.insert(name(n));
                }
            } else {
                assert_eq!(joined.remove(&name(n)), model.remove(&name(n)), "{n}");
            }
            assert_eq!(joined.len(), model.len());
            assert_eq!(joined.iter().cloned().collect::<BTreeSet<_>>(), model);
            assert!((0..100).all(|n| joined.has(&name(n)) == model.contains(&name(n))));
        }
    }
}
