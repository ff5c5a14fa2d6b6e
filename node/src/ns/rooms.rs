//! Who is where: the room index of one namespace.
//!
//! Sharded by socket, not by room: joining, leaving and disconnecting take exactly one lock, a huge room is never held by
//! one lock for its whole fan-out, and a reconnect storm into one hot room is spread over all shards.

mod joined;
mod members;
mod page;

use std::{
    borrow::Borrow,
    cell::RefCell,
    collections::{HashMap, HashSet},
    hash::{BuildHasher, Hash, Hasher, RandomState},
    sync::{Arc, OnceLock},
};

use parking_lot::RwLock;
use sockeye_proto::{bus::Target, id::SocketId, name::RoomName};

use super::socket::SocketInner;
use crate::limits::{Guard, Limit};
use joined::Joined;
use members::Members;
pub(crate) use page::Page;

/// Tables of so many entries are not worth giving back.
const SPARE: usize = 256;

/// One for each core or more, so that a broadcast and those who join rarely meet.
fn shard_count() -> usize {
    std::thread::available_parallelism().map_or(4, usize::from).next_power_of_two().clamp(4, 32)
}

/// The id of a socket by its key, so that a client is found by what it takes for its id.
#[derive(Debug)]
struct Key(SocketId);

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        self.0.key()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key().hash(state);
    }
}

/// Whether a room is the one that a socket begins in.
fn is_own(id: &SocketId, room: &str) -> bool {
    room == id.as_str() || room == id.key()
}

#[derive(Debug)]
struct Slot {
    socket: Arc<SocketInner>,
    rooms: Joined,
    /// Every socket begins in the room of its id and may leave it like any other. This membership is kept here and not in
    /// `rooms`, because there is one for each socket.
    own: bool,
}

#[derive(Debug, Default)]
struct Shard {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    by_id: HashMap<Key, u32>,
    rooms: HashMap<RoomName, Members>,
    /// Slots of sockets whose connect handler has not decided: what is sent to their rooms waits for them, but nobody is
    /// told that they are there.
    connecting: HashSet<u32>,
}

/// The room index. Its locks come before an outbox's and after no other; nothing waits and no handler runs under them.
#[derive(Debug)]
pub(crate) struct Rooms {
    /// Made for the first socket: a node may have ten thousand namespaces that nobody is in.
    shards: OnceLock<Box<[RwLock<Shard>]>>,
    hasher: RandomState,
}

thread_local! {
    /// Marks of the slots that were visited or excluded, one bit each; cleared after use.
    static MARKS: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

impl Rooms {
    pub(crate) fn new() -> Self {
        Self { shards: OnceLock::new(), hasher: RandomState::new() }
    }

    fn shard(&self, id: &SocketId) -> &RwLock<Shard> {
        let shards = self.shards.get_or_init(|| (0..shard_count()).map(|_| RwLock::default()).collect());
        &shards[self.hasher.hash_one(id.key()) as usize & (shards.len() - 1)]
    }

    /// All shards; none as long as there was no socket.
    fn shards(&self) -> &[RwLock<Shard>] {
        self.shards.get().map_or(&[], |shards| shards)
    }

    /// Adds a socket whose connect handler has not decided, in the room of its id only.
    pub(crate) fn insert(&self, socket: &Arc<SocketInner>) {
        let mut shard = self.shard(&socket.id).write();
        // A client of Engine.IO 3 that joins again has the same id again, perhaps before its last socket was removed.
        if let Some(at) = shard.by_id.remove(socket.id.key()) {
            shard.vacate(at);
        }
        let slot = Slot { socket: socket.clone(), rooms: Joined::default(), own: true };
        let at = match shard.free.pop() {
            Some(at) => {
                shard.slots[at as usize] = Some(slot);
                at
            }
            None => {
                shard.slots.push(Some(slot));
                shard.slots.len() as u32 - 1
            }
        };
        shard.by_id.insert(Key(socket.id.clone()), at);
        shard.connecting.insert(at);
    }

    /// The connect handler let the socket in: from now on it is counted and listed.
    pub(crate) fn confirm(&self, socket: &SocketInner) {
        let mut shard = self.shard(&socket.id).write();
        if let Some(&at) = shard.by_id.get(socket.id.key())
            && let Some(slot) = &shard.slots[at as usize]
            && std::ptr::eq(Arc::as_ptr(&slot.socket), socket)
        {
            shard.connecting.remove(&at);
            if shard.connecting.is_empty() {
                // A storm of connections leaves no memory behind.
                shard.connecting = HashSet::new();
            }
        }
    }

    /// Removes a socket from everything; returns the rooms that it was in, its own among them.
    pub(crate) fn remove(&self, socket: &SocketInner) -> Vec<RoomName> {
        let id = &socket.id;
        let mut shard = self.shard(id).write();
        let Some(&at) = shard.by_id.get(id.key()) else { return Vec::new() };
        let is_other = |slot: &Slot| !std::ptr::eq(Arc::as_ptr(&slot.socket), socket);
        if shard.slots[at as usize].as_ref().is_some_and(is_other) {
            return Vec::new();
        }
        shard.by_id.remove(id.key());
        let Some(slot) = shard.vacate(at) else { return Vec::new() };
        shard.shrink();
        drop(shard);
        let mut rooms = slot.rooms.into_list();
        if slot.own {
            rooms.push(RoomName::from(id.as_str()));
        }
        rooms
    }

    pub(crate) fn get(&self, id: &SocketId) -> Option<Arc<SocketInner>> {
        let shard = self.shard(id).read();
        let at = *shard.by_id.get(id.key())?;
        shard.slots[at as usize].as_ref().map(|slot| slot.socket.clone())
    }

    /// A socket that was let in.
    pub(crate) fn get_connected(&self, id: &SocketId) -> Option<Arc<SocketInner>> {
        let shard = self.shard(id).read();
        let at = *shard.by_id.get(id.key())?;
        let slot = shard.slots[at as usize].as_ref()?;
        (!shard.connecting.contains(&at)).then(|| slot.socket.clone())
    }

    /// False if there is no such socket. Rooms beyond a limit are not joined, which is counted.
    pub(crate) fn join(&self, id: &SocketId, rooms: &[RoomName], guard: &Guard) -> bool {
        let (mut long, mut beyond, mut refused) = (0, 0, 0);
        {
            let mut shard = self.shard(id).write();
            let Some(&at) = shard.by_id.get(id.key()) else { return false };
            let (limits, ceilings) = (guard.limits(), guard.ceilings());
            for room in rooms {
                if room.len() > limits.max_room_len && !is_own(id, room) {
                    long += 1;
                    if room.len() > ceilings.max_room_len {
                        continue;
                    }
                }
                match shard.join(at, id, room, ceilings.max_rooms) {
                    Some(before) => beyond += usize::from(before >= limits.max_rooms),
                    None => {
                        beyond += 1;
                        refused += 1;
                    }
                }
            }
        }
        if long > 0 {
            guard.met(Limit::RoomLength, long, if guard.enforces() { long } else { 0 });
        }
        if beyond > 0 {
            guard.met(Limit::Rooms, beyond, refused);
        }
        true
    }

    /// False if there is no such socket.
    pub(crate) fn leave(&self, id: &SocketId, rooms: &[RoomName]) -> bool {
        let mut shard = self.shard(id).write();
        let Some(&at) = shard.by_id.get(id.key()) else { return false };
        for room in rooms {
            shard.leave(at, id, room);
        }
        true
    }

    /// The rooms of one socket, its own among them unless it left that.
    pub(crate) fn of(&self, id: &SocketId) -> Option<Vec<RoomName>> {
        let shard = self.shard(id).read();
        let slot = shard.slots[*shard.by_id.get(id.key())? as usize].as_ref()?;
        let mut rooms = slot.rooms.to_vec();
        if slot.own {
            rooms.push(RoomName::from(id.as_str()));
        }
        Some(rooms)
    }

    /// Makes every target enter the rooms; returns how many targets there were.
    pub(crate) fn join_all(&self, target: &Target, rooms: &[RoomName], guard: &Guard) -> usize {
        self.collect(target).into_iter().filter(|socket| self.join(&socket.id, rooms, guard)).count()
    }

    /// Makes every target leave the rooms; returns how many targets there were.
    pub(crate) fn leave_all(&self, target: &Target, rooms: &[RoomName]) -> usize {
        self.collect(target).into_iter().filter(|socket| self.leave(&socket.id, rooms)).count()
    }

    /// Empties a room; returns how many were in it.
    pub(crate) fn close(&self, room: &RoomName) -> usize {
        let target = Target { rooms: std::iter::once(room.clone()).collect(), ..Target::default() };
        self.leave_all(&target, std::slice::from_ref(room))
    }

    pub(crate) fn collect(&self, target: &Target) -> Vec<Arc<SocketInner>> {
        let mut found = Vec::new();
        self.select(target, |socket| found.push(socket.clone()));
        found
    }

    /// Visits every socket that the target means, each once. `visit` runs under a lock: it may push to an outbox and
    /// nothing else.
    pub(crate) fn select(&self, target: &Target, mut visit: impl FnMut(&Arc<SocketInner>)) {
        // The commonest target, one socket by its id, needs only that socket's shard, unless others joined its room.
        for shard in self.shards() {
            let shard = shard.read();
            match (target.rooms.as_slice(), target.except.is_empty()) {
                ([], true) => shard.slots.iter().flatten().for_each(|slot| visit(&slot.socket)),
                ([room], true) => {
                    if let Some(members) = shard.rooms.get(room) {
                        for slot in &members.list {
                            if let Some(slot) = &shard.slots[*slot as usize] {
                                visit(&slot.socket);
                            }
                        }
                    }
                    if let Some(slot) = shard.own_room(room) {
                        visit(&slot.1.socket);
                    }
                }
                _ => shard.select_marked(target, &mut visit),
            }
        }
    }

    /// How many connected sockets the target means.
    pub(crate) fn count(&self, target: &Target) -> usize {
        let each =
            |count: &dyn Fn(&Shard) -> usize| self.shards().iter().map(|shard| count(&shard.read())).sum();
        match (target.rooms.as_slice(), target.except.is_empty()) {
            ([], true) => each(&|shard| shard.by_id.len() - shard.connecting.len()),
            ([room], true) => each(&|shard| shard.count(room)),
            _ => {
                let mut count = 0;
                self.each_connected(target, |_| count += 1);
                count
            }
        }
    }

    /// Whether nobody on this node is in the namespace.
    pub(crate) fn is_empty(&self) -> bool {
        self.shards().iter().all(|shard| shard.read().by_id.is_empty())
    }
}

impl Shard {
    /// Empties a slot and takes its socket out of its rooms.
    fn vacate(&mut self, at: u32) -> Option<Slot> {
        let slot = self.slots[at as usize].take()?;
        self.free.push(at);
        self.connecting.remove(&at);
        for room in slot.rooms.iter() {
            self.leave_room(room, at);
        }
        Some(slot)
    }

    /// Gives back memory that a crowd has left. Rare enough to cost nothing for each that goes.
    fn shrink(&mut self) {
        if self.by_id.is_empty() && self.slots.capacity() > SPARE {
            *self = Self::default();
            return;
        }
        if self.by_id.capacity() > SPARE && self.by_id.len() < self.by_id.capacity() / 8 {
            self.by_id.shrink_to(self.by_id.len() * 2);
        }
        if self.rooms.capacity() > SPARE && self.rooms.len() < self.rooms.capacity() / 8 {
            self.rooms.shrink_to(self.rooms.len() * 2);
        }
    }

    fn own_room(&self, room: &RoomName) -> Option<(u32, &Slot)> {
        if !SocketId::is_id(room) {
            return None;
        }
        let at = *self.by_id.get(SocketId::key_of(room))?;
        let slot = self.slots[at as usize].as_ref()?;
        (slot.own && is_own(&slot.socket.id, room)).then_some((at, slot))
    }

    /// Returns in how many rooms the socket was before, if there was something to do; 0 if not. `None`: in too many.
    fn join(&mut self, at: u32, id: &SocketId, room: &RoomName, most: usize) -> Option<usize> {
        let Some(slot) = &mut self.slots[at as usize] else { return Some(0) };
        if is_own(id, room) {
            slot.own = true;
            return Some(0);
        }
        if slot.rooms.has(room) {
            return Some(0);
        }
        let before = slot.rooms.len();
        if before >= most {
            return None;
        }
        // One name for all members, wherever the caller's came from.
        let name = match self.rooms.get_key_value(room) {
            Some((name, _)) => name.clone(),
            None => room.clone(),
        };
        slot.rooms.insert(name.clone());
        self.rooms.entry(name).or_default().insert(at);
        Some(before)
    }

    fn leave(&mut self, at: u32, id: &SocketId, room: &RoomName) {
        let Some(slot) = &mut self.slots[at as usize] else { return };
        if is_own(id, room) {
            slot.own = false;
            return;
        }
        if slot.rooms.remove(room) {
            self.leave_room(room, at);
            self.shrink();
        }
    }

    fn leave_room(&mut self, room: &RoomName, at: u32) {
        if let Some(members) = self.rooms.get_mut(room) {
            members.remove(at);
            if members.list.is_empty() {
                self.rooms.remove(room);
            }
        }
    }

    fn slots_of(&self, room: &RoomName, mut visit: impl FnMut(u32)) {
        if let Some(members) = self.rooms.get(room) {
            members.list.iter().for_each(|slot| visit(*slot));
        }
        if let Some((slot, _)) = self.own_room(room) {
            visit(slot);
        }
    }

    /// The union of rooms less the exceptions, by marking slots: those to leave out first, then each one visited.
    fn select_marked(&self, target: &Target, visit: &mut impl FnMut(&Arc<SocketInner>)) {
        MARKS.with_borrow_mut(|marks| {
            marks.clear();
            marks.resize(self.slots.len().div_ceil(64), 0);
            let mut mark = |slot: u32| {
                let (word, bit) = (slot as usize / 64, 1u64 << (slot % 64));
                let fresh = marks[word] & bit == 0;
                marks[word] |= bit;
                fresh
            };
            for room in &target.except {
                self.slots_of(room, |slot| {
                    mark(slot);
                });
            }
            let mut visit_fresh = |at: u32| {
                if mark(at)
                    && let Some(slot) = &self.slots[at as usize]
                {
                    visit(&slot.socket);
                }
            };
            if target.rooms.is_empty() {
                (0..self.slots.len() as u32).for_each(visit_fresh);
            } else {
                for room in &target.rooms {
                    self.slots_of(room, &mut visit_fresh);
                }
            }
        });
    }
}

#[cfg(test)]
#[path = "rooms_tests.rs"]
mod tests;
