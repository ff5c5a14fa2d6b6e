//! One publisher, many subscribers.

use anyhow::Context;
use clap::Args;

use super::Setting;
use super::broadcast::Broadcast;
use super::meter::{Meter, Timing};
use super::opening::Opening;
use crate::client::Clients;
use crate::report::{Report, Unit};

/// One publisher emits to rooms full of subscribers
///
/// Every subscriber joins a room with `join`; the publisher, a socket of its own, sends
/// `emit-to {"to": [room], "event": "m", "args": [number, padding]}` and keeps --window messages under way. A
/// message is done when all members of its room have it. Every subscriber's stream is checked: order,
/// duplicates, losses, content.
#[derive(Clone, Debug, Args)]
pub struct Fanout {
    /// Subscribers
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1000, value_parser = crate::cli::positive)]
    pub connections: usize,
    /// Messages under way at the same time
    #[arg(short, long, value_name = "W", default_value_t = 1, value_parser = crate::cli::positive)]
    pub window: usize,
    /// Bytes of padding in each message
    #[arg(short, long, value_name = "BYTES", default_value_t = 128)]
    pub payload: usize,
    /// Rooms; subscribers are spread over them and the messages go to one after the other
    #[arg(long, value_name = "R", default_value_t = 1, value_parser = crate::cli::positive)]
    pub rooms: usize,
    /// Sockets being opened at the same time
    #[arg(long, value_name = "K", default_value_t = 64, value_parser = crate::cli::positive)]
    pub concurrency: usize,
    /// When to measure.
    #[command(flatten)]
    pub timing: Timing,
}

impl Fanout {
    /// Runs the scenario.
    ///
    /// # Errors
    /// When the sockets cannot be opened, the publisher's connection ends, nothing at all is delivered, or the
    /// user interrupts.
    pub fn run(&self, setting: Setting<'_>) -> anyhow::Result<Report> {
        let Setting { target, progress, interrupt } = setting;
        let rooms = self.rooms.min(self.connections);
        // Rooms of their own, so that several generators can use one server.
        let names: Vec<String> =
            (0..rooms).map(|room| format!("load-{}-{room}", std::process::id())).collect();
        let meter = Meter::new(self.timing, &target.pids);
        let namespace = target.namespace.clone();
        let patience = target.patience;
        let mut clients = Clients::new(target, interrupt)?;

        let room_of = |ordinal: usize| names[ordinal % rooms].clone();
        let mut opening = Opening::new(self.connections, self.concurrency, Some(&room_of), progress);
        clients.run(&mut opening)?;
        let subscribers = opening.opened();
        let mut opening = Opening::new(1, 1, None, progress);
        clients.run(&mut opening)?;
        let publisher = *opening.opened().first().context("no publisher")?;

        let mut broadcast = Broadcast::new(
            publisher,
            &subscribers,
            &namespace,
            &names,
            self.payload,
            self.window,
            meter,
            patience,
            progress,
        );
        clients.run(&mut broadcast)?;
        let (measured, each, whole) = broadcast.finish(&mut clients)?;
        Ok(Report::new("fanout", Unit::DELIVERY, clients.take_faults())
            .setting("connections", self.connections)
            .setting("rooms", rooms)
            .setting("window", self.window)
            .setting("payload", self.payload)
            .measured(measured)
            .latency("delivery", each.summary())
            .latency("whole message", whole.summary()))
    }
}
