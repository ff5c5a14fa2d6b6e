//! The rows of a comparison.

use anyhow::bail;

use crate::report::Report;
use crate::scenario::{Acks, Connect, Fanout, Idle, Setting, Timing, Transport};

/// A scenario with its options.
#[derive(Clone, Debug)]
pub enum Work {
    /// One publisher, many subscribers.
    Fanout(Fanout),
    /// Requests with acks.
    Acks(Acks),
    /// Connections that come and go.
    Connect(Connect),
    /// Connections that do nothing.
    Idle(Idle),
}

/// One row: its short name, what it does, what its figure is.
#[derive(Clone, Debug)]
pub struct Row {
    /// The name for `--rows`.
    pub name: &'static str,
    /// What is done.
    pub title: String,
    /// What the figure counts.
    pub figure: &'static str,
    /// The scenario.
    pub work: Work,
}

impl Row {
    /// Whether the row needs a server that has done nothing before.
    #[must_use]
    pub fn wants_fresh_server(&self) -> bool {
        matches!(self.work, Work::Idle(_))
    }

    /// Measures once.
    ///
    /// # Errors
    /// What the scenario returns.
    pub fn measure(&self, setting: Setting<'_>) -> anyhow::Result<Report> {
        match &self.work {
            Work::Fanout(fanout) => fanout.run(setting),
            Work::Acks(acks) => acks.run(setting),
            Work::Connect(connect) => connect.run(setting),
            Work::Idle(idle) => idle.run(setting),
        }
    }
}

/// All rows.
pub(super) fn all(timing: Timing, idle_connections: usize) -> Vec<Row> {
    let fanout = |name, connections, payload: usize, window| Row {
        name,
        title: format!("fan-out, {connections} subscribers, {payload} B, W = {window}"),
        figure: "µs a delivery",
        work: Work::Fanout(Fanout { connections, window, payload, rooms: 1, concurrency: 64, timing }),
    };
    let acks = |name, title: &str, window, transport| Row {
        name,
        title: format!("{title}, 50 sockets, W = {window}"),
        figure: "µs a request",
        work: Work::Acks(Acks { connections: 50, window, payload: 128, transport, timing }),
    };
    vec![
        fanout("fanout-1000-w1", 1000, 128, 1),
        fanout("fanout-1000-w16", 1000, 128, 16),
        fanout("fanout-1000-1k-w16", 1000, 1024, 16),
        fanout("fanout-5000-w1", 5000, 128, 1),
        fanout("fanout-5000-w16", 5000, 128, 16),
        acks("acks-w1", "acks", 1, Transport::Websocket),
        acks("acks-w16", "acks", 16, Transport::Websocket),
        acks("acks-polling", "long-polling acks", 1, Transport::Polling),
        Row {
            name: "connect",
            title: "connect (WebSocket, namespace, one room) and close".to_owned(),
            figure: "µs a connection",
            work: Work::Connect(Connect { concurrency: 64, rooms: 1, timing }),
        },
        Row {
            name: "idle",
            title: format!("memory of an idle connection, {idle_connections} of them"),
            figure: "KiB a connection",
            work: Work::Idle(Idle {
                connections: idle_connections,
                concurrency: 64,
                rooms: 0,
                hold: std::time::Duration::from_secs(2),
            }),
        },
    ]
}

/// The rows of these names, in the order of the table; all rows when no name is given.
pub(super) fn pick(rows: Vec<Row>, names: &[String]) -> anyhow::Result<Vec<Row>> {
    if names.is_empty() {
        return Ok(rows);
    }
    for name in names {
        if !rows.iter().any(|row| row.name == name) {
            let known: Vec<&str> = rows.iter().map(|row| row.name).collect();
            bail!("there is no row `{name}`; there are {}", known.join(", "));
        }
    }
    let wanted = |row: &Row| names.iter().any(|name| row.name == name);
    Ok(rows.into_iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rows() -> Vec<Row> {
        let timing = Timing { duration: Duration::from_secs(1), warmup: Duration::ZERO };
        all(timing, 100)
    }

    #[test]
    fn names_are_unique_and_pick_rows_in_order() {
        let mut names: Vec<&str> = rows().iter().map(|row| row.name).collect();
        let picked = pick(rows(), &["idle".to_owned(), "acks-w1".to_owned()]).expect("known");
        let picked: Vec<&str> = picked.iter().map(|row| row.name).collect();
        assert_eq!(picked, ["acks-w1", "idle"]);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(pick(rows(), &[]).expect("all").len(), names.len());
    }

    #[test]
    fn an_unknown_row_is_named_with_the_known_ones() {
        let error = pick(rows(), &["acks".to_owned()]).expect_err("unknown");
        assert!(error.to_string().contains("acks-w16"), "{error}");
    }
}
