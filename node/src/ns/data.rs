//! What an application tells the whole cluster about a socket.

use serde::{Serialize, de::DeserializeOwned};

use super::socket::{Socket, SocketInner};
use crate::error::DataError;

/// The longest JSON that [`Socket::set_data`] takes, in bytes.
const MOST: usize = 64 * 1024;

/// What [`Socket::set_data`] stored, as JSON. It lives among the socket's session values, so that sockets without any pay
/// nothing for it, and ends as they do.
struct SharedData(Box<str>);

impl SocketInner {
    /// The JSON that was stored.
    pub(crate) fn shared_data(&self) -> Option<String> {
        self.session.get::<SharedData>().map(|data| data.0.to_string())
    }
}

impl Socket {
    /// Stores a value that every node can see: [`RemoteSocket::data`](crate::RemoteSocket::data). The value before is
    /// replaced. Unlike [`session`](Self::session) values it is kept as JSON, of 64 KiB at the most.
    ///
    /// ```
    /// # use serde::Serialize;
    /// # use sockeye::{DataError, Io, Socket};
    /// #[derive(Serialize)]
    /// struct Player<'a> { name: &'a str, level: u8 }
    ///
    /// fn entered(socket: &Socket, name: &str) -> Result<(), DataError> {
    ///     socket.set_data(&Player { name, level: 1 })
    /// }
    /// # async fn names(io: Io) {
    /// for player in io.to("arena").fetch_sockets().data().await.value {
    ///     let Ok(player) = player.data::<serde_json::Value>() else { continue };
    ///     println!("{}", player["name"]);
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// The value cannot be serialised, or is too large; the value before stays.
    pub fn set_data(&self, data: &impl Serialize) -> Result<(), DataError> {
        let text = serde_json::to_string(data)?;
        if text.len() > MOST {
            return Err(DataError::TooLarge { size: text.len(), most: MOST });
        }
        self.save_session(SharedData(text.into()));
        Ok(())
    }

    /// The value that [`set_data`](Self::set_data) stored; without one, what `null` is read as.
    ///
    /// # Errors
    /// The stored value is not a `T`.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, DataError> {
        let data = self.0.session.get::<SharedData>();
        Ok(serde_json::from_str(data.as_deref().map_or("null", |data| &data.0))?)
    }

    // === session ===
}
