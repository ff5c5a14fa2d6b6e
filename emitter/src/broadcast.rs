//! A selection of clients and what can be done with them.

use crate::{
    emitter::Emitter,
    error::{Reason, Subject},
    receipt::Receipt,
    rooms::IntoRooms,
    wire::Action,
};
use smallvec::SmallVec;
use sockeye_bus::DropReason;
use sockeye_proto::{bus::Target, name::RoomName, sio::IntoArgs};
use std::sync::Arc;

/// A selection of clients of one namespace, on all nodes, and what to do with them.
///
/// The targets are the union of all rooms named with [`to`](Self::to) (everyone if there is none) less the members of all
/// rooms named with [`except`](Self::except). A client in several of the rooms is one target. A socket's id is the name of
/// its own room. A selection can be kept, cloned and used many times:
///
/// ```no_run
/// # fn f(emitter: &sockeye_emitter::Emitter) {
/// let players = emitter.of("/game").to("match:7");
/// players.emit("score", (2, 1));
/// players.clone().except("spectators").emit("your turn", ());
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `emit` or another action"]
pub struct Broadcast {
    emitter: Emitter,
    target: Target,
    /// `to` was called, even if with an empty list: then nobody is meant, not everyone.
    addressed: bool,
    volatile: bool,
}

impl Broadcast {
    pub(crate) fn new(emitter: Emitter) -> Self {
        Self { emitter, target: Target::default(), addressed: false, volatile: false }
    }

    /// Adds the members of these rooms. An empty list adds nobody, and does not mean everyone.
    pub fn to(mut self, rooms: impl IntoRooms) -> Self {
        self.addressed = true;
        self.target = rooms.into_rooms().fold(self.target, Target::to);
        self
    }

    /// Leaves out the members of these rooms.
    pub fn except(mut self, rooms: impl IntoRooms) -> Self {
        self.target = rooms.into_rooms().fold(self.target, Target::except);
        self
    }

    /// What is emitted is worth nothing later: nodes drop it for clients that do not keep up, and while the broker is
    /// away (or not reached yet) it is not kept; that counts as no loss, only its receipt tells.
    pub fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// Sends an event.
    ///
    /// `args` is any number, text, `bool`, list or map by value, anything that serde can write by reference or as
    /// [`Data`](crate::Data), several arguments as a tuple, and none as `()`. A [`Binary`](crate::Binary) anywhere inside
    /// becomes an attachment.
    pub fn emit(&self, event: &str, args: impl IntoArgs) -> Receipt {
        let subject = Subject::new("emit", Some(event), self.emitter.path());
        let args = match args.into_args() {
            Ok(args) => args,
            Err(error) => return self.emitter.refuse(subject, Reason::Args(error)),
        };
        if self.volatile && !self.emitter.is_connected() {
            let away = Reason::Lost { reason: DropReason::Offline, cause: None };
            return Receipt::failed(away, false, subject, Arc::clone(self.emitter.inner()));
        }
        self.act(subject, &Action::Emit { event, args: &args, volatile: self.volatile })
    }

    /// The targets enter these rooms.
    pub fn join(&self, rooms: impl IntoRooms) -> Receipt {
        let rooms: SmallVec<[RoomName; 2]> = rooms.into_rooms().collect();
        self.act(Subject::new("join", None, self.emitter.path()), &Action::Join(&rooms))
    }

    /// The targets leave these rooms. A room ends with its last member.
    pub fn leave(&self, rooms: impl IntoRooms) -> Receipt {
        let rooms: SmallVec<[RoomName; 2]> = rooms.into_rooms().collect();
        self.act(Subject::new("leave", None, self.emitter.path()), &Action::Leave(&rooms))
    }

    /// Disconnects the targets from the namespace; with `close` their whole connections. They do not connect again by
    /// themselves.
    pub fn disconnect(&self, close: bool) -> Receipt {
        let subject = Subject::new("disconnect", None, self.emitter.path());
        self.act(subject, &Action::Disconnect { close })
    }

    fn act(&self, subject: Subject, action: &Action<'_>) -> Receipt {
        let nobody = self.addressed && self.target.rooms.is_empty();
        let nothing = matches!(action, Action::Join(rooms) | Action::Leave(rooms) if rooms.is_empty());
        if nobody || nothing {
            return Receipt::nothing(subject, Arc::clone(self.emitter.inner()));
        }
        self.emitter.send(subject, &self.target, action)
    }
}
