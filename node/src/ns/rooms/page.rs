//! The index in portions, for those who ask about many sockets or rooms.
//!
//! A socket has one slot of one shard for as long as it is in the namespace, so the order of places is the order of a
//! list that others may change meanwhile: whoever stays is found exactly once, whoever comes or goes at most once.

use std::{collections::BTreeMap, hash::BuildHasher as _, sync::Arc};

use smallvec::SmallVec;
use sockeye_proto::{bus::Target, name::RoomName};

use super::{Members, Rooms, Shard, SocketInner};
use crate::cluster::RoomsPage;

/// Slots that are looked at under one lock.
const AT_ONCE: usize = 4 * 1024;
/// Slots that are looked at for one page, however few of their sockets are meant.
const FOR_ONE_PAGE: usize = 64 * 1024;

/// Sockets in the order of their places.
#[derive(Debug)]
pub(crate) struct Page {
    /// Each with its place.
    pub(crate) sockets: Vec<(u64, Arc<SocketInner>)>,
    /// Where to go on; `None` at the end.
    pub(crate) next: Option<u64>,
}

impl Rooms {
    /// Up to `limit` connected sockets that the target means, from a place on. It may be fewer, even none, with others
    /// behind them: the work for one page is bounded. No lock is held for long.
    pub(crate) fn page(&self, target: &Target, from: u64, limit: usize) -> Page {
        let mut sockets = Vec::new();
        let visit = |place: u64, socket: &Arc<SocketInner>| sockets.push((place, socket.clone()));
        let (next, _) = self.scan(target, from, limit, FOR_ONE_PAGE, visit);
        Page { sockets, next }
    }

    /// Visits every connected socket that the target means, each once. No lock is held for long.
    pub(crate) fn each_connected(&self, target: &Target, mut visit: impl FnMut(&Arc<SocketInner>)) {
        self.scan(target, 0, usize::MAX, usize::MAX, |_, socket| visit(socket));
    }

    /// Visits up to `limit` connected sockets that the target means, from a place on, and looks at about `most` slots.
    /// Returns the place to go on from, and how many slots it looked at.
    fn scan(
        &self,
        target: &Target,
        from: u64,
        mut limit: usize,
        most: usize,
        mut visit: impl FnMut(u64, &Arc<SocketInner>),
    ) -> (Option<u64>, usize) {
        let mut looked = 0;
        let (mut at, mut slot) = ((from >> 32) as usize, from as u32);
        while let Some(shard) = self.shards().get(at) {
            if limit == 0 || looked >= most {
                return (Some(place(at, slot)), looked);
            }
            let shard = shard.read();
            let mut found = 0;
            let visit = |slot: u32, socket: &Arc<SocketInner>| {
                found += 1;
                visit(place(at, slot), socket);
            };
            let (next, here) = shard.scan(target, slot, limit, visit);
            limit -= found;
            looked += here;
            (at, slot) = match next {
                Some(next) => (at, next),
                None => (at + 1, 0),
            };
        }
        (None, looked)
    }

    /// The names of rooms with a connected socket, in order, behind a name, and how many are in each; and whether others
    /// follow. A socket's own room is one only while somebody else is in it.
    pub(crate) fn names(&self, after: Option<&RoomName>, limit: usize) -> RoomsPage {
        // One more than asked for tells whether others follow.
        let mut first = BTreeMap::<RoomName, u64>::new();
        for shard in self.shards() {
            let shard = shard.read();
            for name in shard.rooms.keys() {
                if after.is_some_and(|after| name <= after) {
                    continue;
                }
                if first.len() > limit && first.last_key_value().is_some_and(|(last, _)| name > last) {
                    continue;
                }
                let count = shard.count(name) as u64;
                if count > 0 {
                    *first.entry(name.clone()).or_default() += count;
                }
                if first.len() > limit + 1 {
                    first.pop_last();
                }
            }
        }
        let more = first.len() > limit;
        let mut names: Vec<_> = first.into_iter().collect();
        names.truncate(limit);
        // The socket that a room is named after may live in a shard where nobody else is in its room.
        for (name, count) in &mut names {
            *count += u64::from(self.owner_only(name));
        }
        (names, more)
    }

    /// Whether a room's owner is in it and in a shard without other members.
    fn owner_only(&self, room: &RoomName) -> bool {
        let Some(id) = sockeye_proto::id::SocketId::parse(room) else { return false };
        let shard = self.shard(&id).read();
        !shard.rooms.contains_key(room) && shard.count(room) > 0
    }

    /// Number of named rooms with a member.
    pub(crate) fn room_count(&self) -> usize {
        let mut hashes: Vec<u64> = Vec::new();
        for shard in self.shards() {
            hashes.extend(shard.read().rooms.keys().map(|name| self.hasher.hash_one(name)));
        }
        // One room may have members in several shards.
        hashes.sort_unstable();
        hashes.dedup();
        hashes.len()
    }
}

impl Shard {
    /// How many connected sockets of this shard are in a room.
    pub(super) fn count(&self, room: &RoomName) -> usize {
        let members = self.rooms.get(room);
        let named = members.map_or(0, |members| members.list.len());
        let own = self.own_room(room);
        let hidden = self.connecting.iter().filter(|slot| {
            members.is_some_and(|members| members.contains(**slot)) || own.is_some_and(|(at, _)| at == **slot)
        });
        named + usize::from(own.is_some()) - hidden.count()
    }

    /// Visits some sockets from a slot on, in the order of slots. Returns the slot to go on from, and how many were
    /// looked at.
    fn scan(
        &self,
        target: &Target,
        from: u32,
        limit: usize,
        mut visit: impl FnMut(u32, &Arc<SocketInner>),
    ) -> (Option<u32>, usize) {
        let rooms: Picks<'_> = target.rooms.iter().map(|room| self.pick(room)).collect();
        let except: Picks<'_> = target.except.iter().map(|room| self.pick(room)).collect();
        let is_meant =
            |slot: u32| !self.connecting.contains(&slot) && !except.iter().any(|pick| pick.contains(slot));
        let left = self.slots.len().saturating_sub(from as usize);
        let members: usize = rooms.iter().map(Pick::len).sum();
        // Few members are sorted; of many, the next ones are found by asking slot after slot.
        if !rooms.is_empty() && members.saturating_mul(members) <= limit.saturating_mul(left) {
            let mut slots: Vec<u32> =
                rooms.iter().flat_map(Pick::slots).filter(|slot| *slot >= from).collect();
            slots.sort_unstable();
            slots.dedup();
            slots.retain(|slot| is_meant(*slot));
            let next = (slots.len() > limit).then(|| slots[limit]);
            for slot in slots.into_iter().take(limit) {
                if let Some(kept) = &self.slots[slot as usize] {
                    visit(slot, &kept.socket);
                }
            }
            return (next, members);
        }
        let (mut at, mut found) = (from as usize, 0);
        let end = self.slots.len().min(at.saturating_add(AT_ONCE));
        while at < end && found < limit {
            let slot = at as u32;
            if let Some(kept) = &self.slots[at]
                && (rooms.is_empty() || rooms.iter().any(|pick| pick.contains(slot)))
                && is_meant(slot)
            {
                found += 1;
                visit(slot, &kept.socket);
            }
            at += 1;
        }
        ((at < self.slots.len()).then_some(at as u32), at.saturating_sub(from as usize))
    }

    fn pick(&self, room: &RoomName) -> Pick<'_> {
        Pick { members: self.rooms.get(room), own: self.own_room(room).map(|(slot, _)| slot) }
    }
}

type Picks<'a> = SmallVec<[Pick<'a>; 2]>;

/// The members of one room in one shard, with the socket that the room is named after.
struct Pick<'a> {
    members: Option<&'a Members>,
    own: Option<u32>,
}

impl Pick<'_> {
    fn len(&self) -> usize {
        self.members.map_or(0, |members| members.list.len()) + usize::from(self.own.is_some())
    }

    fn slots(&self) -> impl Iterator<Item = u32> {
        self.members.iter().flat_map(|members| members.list.iter().copied()).chain(self.own)
    }

    fn contains(&self, slot: u32) -> bool {
        self.own == Some(slot) || self.members.is_some_and(|members| members.contains(slot))
    }
}

fn place(shard: usize, slot: u32) -> u64 {
    (shard as u64) << 32 | u64::from(slot)
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
