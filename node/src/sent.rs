//! What became of an emit: a value that may be ignored, looked at, or awaited.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
};

use sockeye_bus::Receipt;

use crate::error::EmitError;

/// An emit that has reached this node's own clients already and is on its way to the others.
///
/// Ignoring it is normal. [`reached`](Self::reached) says how many local clients got it; awaiting it waits until the bus has
/// taken it:
///
/// ```no_run
/// # async fn f(io: sockeye::Io) -> Result<(), sockeye::EmitError> {
/// io.to("news").emit("flash", "it snows");                    // fire and forget
/// let local = io.to("news").emit("flash", "it snows").await?; // the bus has it
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Sent {
    reached: usize,
    remote: Option<Receipt>,
    error: Option<EmitError>,
}

impl Sent {
    pub(crate) fn local(reached: usize) -> Self {
        Self { reached, remote: None, error: None }
    }

    pub(crate) fn with_remote(reached: usize, remote: Option<Receipt>) -> Self {
        Self { reached, remote, error: None }
    }

    /// An emit that reached nobody. Logged here, because the value may be ignored.
    pub(crate) fn failed(error: EmitError) -> Self {
        tracing::error!(%error, "an event was not sent");
        Self { reached: 0, remote: None, error: Some(error) }
    }

    /// Clients of this node that the event was queued for.
    pub fn reached(&self) -> usize {
        self.reached
    }

    /// The clients of this node that were reached, or why nothing was sent. Does not wait for the bus.
    ///
    /// # Errors
    /// The arguments cannot be serialised, or the name is reserved.
    pub fn result(self) -> Result<usize, EmitError> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(self.reached),
        }
    }
}

impl IntoFuture for Sent {
    type Output = Result<usize, EmitError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            if let Some(error) = self.error {
                return Err(error);
            }
            if let Some(remote) = self.remote {
                remote.await?;
            }
            Ok(self.reached)
        })
    }
}
