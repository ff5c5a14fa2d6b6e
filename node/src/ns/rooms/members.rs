//! The members of one room in one shard.

use std::collections::HashMap;

/// From this many members on a position map makes leaving independent of the room's size.
const MAPPED: usize = 64;

/// The members of one room in one shard, as slot numbers.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) list: Vec<u32>,
    /// Boxed, because nearly all rooms are small and have none.
    #[allow(clippy::box_collection)]
    pub(super) positions: Option<Box<HashMap<u32, u32>>>,
}

impl Members {
    pub(super) fn insert(&mut self, slot: u32) {
        if let Some(positions) = &mut self.positions {
            positions.insert(slot, self.list.len() as u32);
        }
        self.list.push(slot);
        if self.positions.is_none() && self.list.len() > MAPPED {
            self.positions =
                Some(Box::new(self.list.iter().enumerate().map(|(at, slot)| (*slot, at as u32)).collect()));
        }
    }

    pub(super) fn contains(&self, slot: u32) -> bool {
        match &self.positions {
            Some(positions) => positions.contains_key(&slot),
            None => self.list.contains(&slot),
        }
    }

    pub(super) fn remove(&mut self, slot: u32) {
        let at = match &mut self.positions {
            Some(positions) => positions.remove(&slot).map(|at| at as usize),
            None => self.list.iter().position(|member| *member == slot),
        };
        let Some(at) = at else { return };
        self.list.swap_remove(at);
        if let (Some(moved), Some(positions)) = (self.list.get(at), &mut self.positions) {
            positions.insert(*moved, at as u32);
        }
        if self.list.len() < MAPPED / 4 {
            self.positions = None;
            if self.list.capacity() > 4 * MAPPED {
                self.list.shrink_to(MAPPED);
            }
        }
    }
}
