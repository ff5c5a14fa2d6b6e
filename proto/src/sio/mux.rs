//! Which namespaces a connection joined, and how long it may go without any.

use smallvec::SmallVec;

use crate::Time;
use crate::name::NamespacePath;

/// The namespaces of one connection. `T` is what stands for it in one of them.
///
/// A namespace is *begun* when the client asks for it, while the connect handler decides, and then *accepted* or
/// *refused*; the client may leave at any time, and ask again before the first decision has come. A [`Ticket`] tells the
/// decisions apart.
#[derive(Debug)]
pub struct Mux<T> {
    /// Almost always one.
    slots: SmallVec<[(NamespacePath, Slot<T>); 1]>,
    /// Until a namespace was joined for the first time.
    connect_deadline: Option<Time>,
    last: u32,
    /// Requests that nobody has decided yet, those of clients that left meanwhile among them.
    undecided: u32,
}

/// One request to join a namespace.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Ticket(u32);

#[derive(Debug)]
enum Slot<T> {
    Connecting(Ticket),
    Joined(T),
}

/// Why a namespace cannot be begun.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MuxError {
    /// The connection is in it, or waits for it, already.
    #[error("the connection asked for this namespace already")]
    Already,
    /// The connection has as many namespaces as it may have.
    #[error("the connection has too many namespaces")]
    TooMany,
}

impl<T> Mux<T> {
    /// No namespaces yet. One must be joined before `connect_deadline`, see [`Mux::connect_deadline`].
    #[must_use]
    pub fn new(connect_deadline: Time) -> Self {
        Self { slots: SmallVec::new(), connect_deadline: Some(connect_deadline), last: 0, undecided: 0 }
    }

    /// No namespaces, and no time by which one must be joined: for connections that do not speak Socket.IO.
    #[must_use]
    pub fn without_deadline() -> Self {
        Self { slots: SmallVec::new(), connect_deadline: None, last: 0, undecided: 0 }
    }

    fn find(&self, path: &str) -> Option<usize> {
        self.slots.iter().position(|(name, _)| name == path)
    }

    /// The client asked for a namespace. The decision brings the ticket back, and [`decided`](Self::decided) has to be
    /// called for it.
    ///
    /// # Errors
    /// [`MuxError`]: it did before, or it has `max_namespaces` already. Those that it left before anybody decided count until
    /// somebody has: a client that asks and leaves, again and again, would otherwise start any number of handlers.
    pub fn begin(&mut self, path: NamespacePath, max_namespaces: usize) -> Result<Ticket, MuxError> {
        if self.find(&path).is_some() {
            return Err(MuxError::Already);
        }
        let joined = self.iter().count();
        if joined + self.undecided as usize >= max_namespaces {
            return Err(MuxError::TooMany);
        }
        self.undecided += 1;
        self.last = self.last.wrapping_add(1);
        let ticket = Ticket(self.last);
        self.slots.push((path, Slot::Connecting(ticket)));
        Ok(ticket)
    }

    /// A request is decided, for better or worse. Called exactly once for each [`begin`](Self::begin), before
    /// [`accept`](Self::accept) or [`refuse`](Self::refuse), and also when the client left meanwhile.
    pub fn decided(&mut self) {
        self.undecided = self.undecided.saturating_sub(1);
    }

    /// The client is let in. Returns `false`, and drops `t`, if it left meanwhile.
    pub fn accept(&mut self, path: &str, ticket: Ticket, t: T) -> bool {
        let Some(at) = self.find(path) else { return false };
        let waits = matches!(self.slots[at].1, Slot::Connecting(waiting) if waiting == ticket);
        if waits {
            self.slots[at].1 = Slot::Joined(t);
            self.connect_deadline = None;
        }
        waits
    }

    /// The client is not let in. One that is in already stays.
    pub fn refuse(&mut self, path: &str, ticket: Ticket) {
        let Some(at) = self.find(path) else { return };
        if matches!(self.slots[at].1, Slot::Connecting(waiting) if waiting == ticket) {
            self.slots.remove(at);
        }
    }

    /// What stands for the connection in a namespace that it joined.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&T> {
        match &self.slots[self.find(path)?].1 {
            Slot::Joined(t) => Some(t),
            Slot::Connecting(_) => None,
        }
    }

    /// Whether a namespace was begun and neither accepted nor refused.
    #[must_use]
    pub fn is_connecting(&self, path: &str) -> bool {
        self.find(path).is_some_and(|at| matches!(self.slots[at].1, Slot::Connecting(_)))
    }

    /// Leaves a namespace, or gives up waiting for it. Returns what stood for the connection if it was in.
    pub fn leave(&mut self, path: &str) -> Option<T> {
        self.remove(path)
    }

    fn remove(&mut self, path: &str) -> Option<T> {
        match self.slots.remove(self.find(path)?).1 {
            Slot::Joined(t) => Some(t),
            Slot::Connecting(_) => None,
        }
    }

    /// Leaves everything, in the order in which the namespaces were asked for.
    pub fn drain(&mut self) -> impl Iterator<Item = T> {
        self.slots.drain(..).filter_map(|(_, slot)| match slot {
            Slot::Joined(t) => Some(t),
            Slot::Connecting(_) => None,
        })
    }

    /// The namespaces that were joined.
    pub fn iter(&self) -> impl Iterator<Item = (&NamespacePath, &T)> {
        self.slots.iter().filter_map(|(path, slot)| match slot {
            Slot::Joined(t) => Some((path, t)),
            Slot::Connecting(_) => None,
        })
    }

    /// How many namespaces were joined or are waited for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// When the connection is to be closed for want of a namespace. `None` once it joined one, even if it left again:
    /// JavaScript's server does not start this timer a second time either.
    #[must_use]
    pub fn connect_deadline(&self) -> Option<Time> {
        self.connect_deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_begun_accepted_and_left() {
        let mut mux = Mux::new(Time(5));
        let ticket = mux.begin("/".into(), 2).unwrap();
        assert_eq!(mux.begin("/".into(), 2), Err(MuxError::Already));
        assert!(mux.is_connecting("/") && mux.get("/").is_none());
        assert_eq!(mux.connect_deadline(), Some(Time(5)));
        mux.decided();
        assert!(mux.accept("/", ticket, 'a'));
        assert_eq!(mux.connect_deadline(), None);
        assert!(!mux.accept("/", ticket, 'b'), "it is in already");
        mux.refuse("/", ticket);
        assert_eq!(mux.get("/"), Some(&'a'), "too late to refuse");
        assert_eq!(mux.begin("/".into(), 2), Err(MuxError::Already));
        let ticket = mux.begin("/b".into(), 2).unwrap();
        assert_eq!(mux.begin("/c".into(), 2), Err(MuxError::TooMany));
        mux.decided();
        mux.refuse("/b", ticket);
        assert!(!mux.accept("/b", ticket, 'b'));
        assert_eq!(mux.leave("/"), Some('a'));
        assert_eq!((mux.leave("/"), mux.len(), mux.connect_deadline()), (None, 0, None));
    }

    #[test]
    fn who_leaves_while_the_handler_decides_is_not_let_in() {
        let mut mux = Mux::new(Time(5));
        let first = mux.begin("/".into(), 9).unwrap();
        assert_eq!(mux.leave("/"), None);
        assert!(!mux.accept("/", first, 1));
        assert!(mux.is_empty() && mux.connect_deadline().is_some());
    }

    #[test]
    fn a_late_decision_is_not_taken_for_that_of_a_later_request() {
        let mut mux = Mux::new(Time(5));
        let first = mux.begin("/".into(), 9).unwrap();
        mux.leave("/");
        let second = mux.begin("/".into(), 9).unwrap();
        mux.refuse("/", first);
        assert!(!mux.accept("/", first, 1) && mux.is_connecting("/"));
        assert!(mux.accept("/", second, 2));
    }

    #[test]
    fn who_leaves_again_and_again_reaches_the_bound() {
        let mut mux = Mux::<()>::new(Time(5));
        let first = mux.begin("/".into(), 2).unwrap();
        mux.leave("/");
        mux.begin("/".into(), 2).unwrap();
        mux.leave("/");
        assert_eq!(mux.begin("/".into(), 2), Err(MuxError::TooMany), "two handlers decide for nobody");
        mux.decided();
        assert!(!mux.accept("/", first, ()));
        let third = mux.begin("/".into(), 2).unwrap();
        assert_eq!(mux.begin("/b".into(), 2), Err(MuxError::TooMany));
        mux.decided();
        assert!(mux.accept("/", third, ()));
        assert_eq!(mux.begin("/b".into(), 2), Err(MuxError::TooMany), "one is in, one is not decided");
        mux.decided();
        assert!(mux.begin("/b".into(), 2).is_ok());
    }

    #[test]
    fn everything_is_left_in_order() {
        let mut mux = Mux::new(Time(5));
        for (path, t) in [("/", 1), ("/a", 2), ("/b", 3)] {
            let ticket = mux.begin(path.into(), 9).unwrap();
            assert!(path == "/a" || mux.accept(path, ticket, t));
        }
        assert_eq!(
            mux.iter().map(|(path, t)| (path.as_str(), *t)).collect::<Vec<_>>(),
            [("/", 1), ("/b", 3)]
        );
        assert_eq!(mux.drain().collect::<Vec<_>>(), [1, 3]);
        assert!(mux.is_empty());
    }
}
