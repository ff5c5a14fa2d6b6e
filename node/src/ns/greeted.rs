//! The pause between a client's CONNECT and what it was sent before it.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::socket::SocketInner;
use crate::engine::Engine;

/// Long enough for a client on the same machine to have read what came before.
const PAUSE: Duration = Duration::from_millis(1);

/// Sockets that wait for their pause to end. One task serves all that come during a pause; there is none while nobody waits.
#[derive(Debug, Default)]
pub(crate) struct Greeted(Mutex<Vec<Arc<SocketInner>>>);

impl Greeted {
    /// Lets a socket go on after the pause.
    pub(crate) fn add(&self, engine: &Arc<Engine>, socket: Arc<SocketInner>) {
        let mut waiting = self.0.lock();
        waiting.push(socket);
        if waiting.len() > 1 {
            return;
        }
        drop(waiting);
        let owner = engine.clone();
        engine.spawn(async move {
            tokio::time::sleep(PAUSE).await;
            let waiting = std::mem::take(&mut *owner.greeted.0.lock());
            for socket in waiting {
                socket.welcome();
            }
        });
    }
}
