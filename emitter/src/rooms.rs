//! One or several room names.

use sockeye_proto::{id::SocketId, name::RoomName};

/// One room or several: a `&str`, a `String`, a [`RoomName`], a [`SocketId`], or an array, slice or `Vec` of such names.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name rooms",
    label = "neither a room name nor a list of them",
    note = "rooms are named by text: `\"room\"`, `[\"a\", \"b\"]`, a `Vec<String>`; of a number make text with `to_string()`"
)]
pub trait IntoRooms {
    /// The names.
    fn into_rooms(self) -> impl Iterator<Item = RoomName>;
}

macro_rules! one {
    ($($type:ty),*) => {
        $(impl IntoRooms for $type {
            fn into_rooms(self) -> impl Iterator<Item = RoomName> {
                std::iter::once(RoomName::from(self))
            }
        })*
    };
}

one!(&str, String, &String, &RoomName, RoomName);

impl IntoRooms for SocketId {
    fn into_rooms(self) -> impl Iterator<Item = RoomName> {
        std::iter::once(RoomName::from(self.as_str()))
    }
}

impl IntoRooms for &SocketId {
    fn into_rooms(self) -> impl Iterator<Item = RoomName> {
        std::iter::once(RoomName::from(self.as_str()))
    }
}

impl<T: Into<RoomName>> IntoRooms for Vec<T> {
    fn into_rooms(self) -> impl Iterator<Item = RoomName> {
        self.into_iter().map(Into::into)
    }
}

impl<T: Into<RoomName>, const N: usize> IntoRooms for [T; N] {
    fn into_rooms(self) -> impl Iterator<Item = RoomName> {
        self.into_iter().map(Into::into)
    }
}

impl<T: Clone + Into<RoomName>> IntoRooms for &[T] {
    fn into_rooms(self) -> impl Iterator<Item = RoomName> {
        self.iter().cloned().map(Into::into)
    }
}

impl<T: Clone + Into<RoomName>> IntoRooms for &Vec<T> {
    fn into_rooms(self) -> impl Iterator<Item = RoomName> {
        self.iter().cloned().map(Into::into)
    }
}
