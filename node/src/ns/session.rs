//! What an application keeps for one socket: one value of each type.

use std::{
    any::{Any, TypeId, type_name},
    cell::RefCell,
    sync::Arc,
};

use parking_lot::ReentrantMutex;

type Value = Arc<dyn Any + Send + Sync>;

/// The values of one socket.
///
/// The thread that has the lock may take it again: the function that changes one value may read the others.
#[derive(Default)]
pub(crate) struct Session(ReentrantMutex<RefCell<State>>);

enum State {
    /// Most sockets have no value or one.
    Open(Vec<(TypeId, Slot)>),
    /// The socket is gone, and its disconnect handler has run.
    Over,
}

enum Slot {
    Value(Value),
    /// Taken out by a function that changes it.
    Changing,
}

impl Default for State {
    fn default() -> Self {
        Self::Open(Vec::new())
    }
}

impl Slot {
    /// The value, downcast.
    ///
    /// # Panics
    /// If the function that changes it looks for it here.
    fn idle<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        match self {
            Self::Value(value) => value.clone().downcast().ok(),
            Self::Changing => panic!(
                "the session's {} is being changed by the function that asks for it: it has it as its argument",
                type_name::<T>()
            ),
        }
    }
}

impl Session {
    /// # Panics
    /// Inside the function that changes this value, as all others.
    pub(crate) fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let guard = self.0.lock();
        let state = guard.borrow();
        let State::Open(list) = &*state else { return None };
        list.iter().find(|(of, _)| *of == TypeId::of::<T>())?.1.idle()
    }

    /// Saves a value, unless the session is over. Returns the one before.
    pub(crate) fn save<T: Any + Send + Sync>(&self, value: T) -> Option<Arc<T>> {
        let before = self.get::<T>();
        self.put(TypeId::of::<T>(), Slot::Value(Arc::new(value)));
        before
    }

    /// Takes a value out.
    pub(crate) fn remove<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let value = self.get::<T>()?;
        self.take(TypeId::of::<T>());
        Some(value)
    }

    /// Changes a value while nobody else reads or changes it.
    pub(crate) fn update<T, R>(&self, change: impl FnOnce(&mut T) -> R) -> R
    where
        T: Any + Clone + Default + Send + Sync,
    {
        // Put back also when the change panics.
        struct PutBack<'a, T: Any + Send + Sync>(&'a Session, Arc<T>);
        impl<T: Any + Send + Sync> Drop for PutBack<'_, T> {
            fn drop(&mut self) {
                self.0.put(TypeId::of::<T>(), Slot::Value(self.1.clone()));
            }
        }

        let _guard = self.0.lock();
        let value = self.get::<T>().unwrap_or_default();
        // Only then is the value not shared, and changed in place.
        self.put(TypeId::of::<T>(), Slot::Changing);
        let mut value = PutBack(self, value);
        change(Arc::make_mut(&mut value.1))
    }

    fn put(&self, of: TypeId, slot: Slot) {
        let guard = self.0.lock();
        let dropped = match &mut *guard.borrow_mut() {
            State::Open(list) => match list.iter_mut().find(|(known, _)| *known == of) {
                Some(entry) => Some(std::mem::replace(&mut entry.1, slot)),
                None => {
                    list.push((of, slot));
                    None
                }
            },
            State::Over => Some(slot),
        };
        // Not while it is borrowed: a value may do anything when it is dropped.
        drop(dropped);
    }

    fn take(&self, of: TypeId) {
        let guard = self.0.lock();
        let dropped = match &mut *guard.borrow_mut() {
            State::Open(list) => {
                list.iter().position(|(known, _)| *known == of).map(|at| list.swap_remove(at))
            }
            State::Over => None,
        };
        drop(dropped);
    }

    /// Drops everything, for good.
    pub(crate) fn end(&self) {
        let dropped = self.0.lock().replace(State::Over);
        drop(dropped);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[derive(Clone, Debug, Default, PartialEq)]
    struct Visits(u32);

    #[test]
    fn there_is_one_value_of_each_type() {
        let session = Session::default();
        assert_eq!((session.get::<Visits>(), session.save(Visits(1))), (None, None));
        session.save("name".to_owned());
        assert_eq!(session.save(Visits(2)).as_deref(), Some(&Visits(1)));
        assert_eq!(session.get::<String>().as_deref().map(String::as_str), Some("name"));
        assert_eq!(session.remove::<Visits>().as_deref(), Some(&Visits(2)));
        assert_eq!((session.remove::<Visits>(), session.get::<Visits>()), (None, None));
        assert!(session.get::<String>().is_some());
    }

    #[test]
    fn a_change_begins_with_the_default_and_is_kept() {
        let session = Session::default();
        assert_eq!(session.update(|visits: &mut Visits| visits.0 += 1), ());
        let before = session.get::<Visits>().unwrap();
        let now = session.update(|visits: &mut Visits| {
            visits.0 += 1;
            visits.0
        });
        assert_eq!((now, before.0), (2, 1), "who holds the value from before keeps it");
        session.save(7_u8);
        assert_eq!(
            session.update(|visits: &mut Visits| session.get::<u8>().map(|n| visits.0 + u32::from(*n))),
            Some(9)
        );
    }

    #[test]
    fn a_change_that_fails_or_asks_for_itself_loses_nothing() {
        let session = Session::default();
        session.save(Visits(1));
        let nested = catch_unwind(AssertUnwindSafe(|| {
            session.update(|_: &mut Visits| session.get::<Visits>());
        }));
        assert!(nested.is_err());
        let nested = catch_unwind(AssertUnwindSafe(|| {
            session.update(|_: &mut Visits| session.update(|inner: &mut Visits| inner.0 = 9));
        }));
        assert!(nested.is_err());
        assert_eq!(session.get::<Visits>().as_deref(), Some(&Visits(1)));
    }

    #[test]
    fn changes_from_many_threads_are_all_there() {
        let session = Session::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..500).for_each(|_| session.update(|visits: &mut Visits| visits.0 += 1)));
            }
        });
        assert_eq!(session.get::<Visits>().as_deref(), Some(&Visits(2000)));
    }

    #[test]
    fn nothing_is_kept_at_the_end() {
        let session = Session::default();
        let value = Arc::new(());
        session.save(value.clone());
        session.end();
        assert_eq!(Arc::strong_count(&value), 1);
        session.save(value.clone());
        session.update(|visits: &mut Visits| visits.0 += 1);
        assert_eq!((Arc::strong_count(&value), session.get::<Visits>()), (1, None));
    }
}
