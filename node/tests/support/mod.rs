//! What the stories share: servers on free ports, clients that speak the protocols by hand, and patience.
//!
//! Nothing here sleeps for a fixed time or measures one: a test waits for something to happen, and fails when it has not
//! happened within [`PATIENCE`].

pub(crate) mod http;
pub(crate) mod log;
#[allow(dead_code, reason = "not every test program has old clients")]
pub(crate) mod old_polling;
pub(crate) mod polling;
pub(crate) mod server;
pub(crate) mod websocket;

use std::{future::Future, time::Duration};

pub(crate) use http::{Answer, Http};
pub(crate) use log::{Lines, Log, log};
pub(crate) use polling::Polling;
pub(crate) use server::{TestServer, cluster};
pub(crate) use websocket::{Client, Frame, frame};

/// How long a test waits for what has to come. Long, because the machine may be busy; nothing waits for it to pass.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something that has to happen.
pub(crate) async fn patient<T>(what: &str, happening: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, happening).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// Waits until a condition holds that nothing announces.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    patient(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}
