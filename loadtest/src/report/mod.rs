//! What a scenario has found, as text and as JSON.

mod text;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::fault::Faults;
use crate::process::Memory;
use crate::scenario::Measured;
use crate::stats::Latency;

/// What is counted.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Unit {
    /// One of them.
    pub one: &'static str,
    /// Several of them.
    pub many: &'static str,
}

impl Unit {
    /// A message that one subscriber got.
    pub const DELIVERY: Self = Self { one: "delivery", many: "deliveries" };
    /// A request and its ack.
    pub const REQUEST: Self = Self { one: "request", many: "requests" };
    /// A connection.
    pub const CONNECTION: Self = Self { one: "connection", many: "connections" };
}

/// The server's memory without and with connections.
#[derive(Copy, Clone, PartialEq, Debug, Serialize)]
pub struct IdleMemory {
    /// Before the first connection.
    pub before: Memory,
    /// With all connections open and idle.
    pub after: Memory,
    /// Resident memory that one connection added, in KiB.
    pub kib_per_connection: f64,
}

impl IdleMemory {
    /// From two measurements and the number of connections that are open at the second.
    #[must_use]
    pub fn new(before: Memory, after: Memory, connections: usize) -> Self {
        let grown = after.resident_kib as f64 - before.resident_kib as f64;
        Self { before, after, kib_per_connection: grown / connections.max(1) as f64 }
    }
}

/// The result of one run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The scenario's name.
    pub scenario: &'static str,
    /// Its options.
    pub settings: Vec<(&'static str, Value)>,
    /// What is counted.
    pub unit: Unit,
    /// Time, work and CPU.
    pub measured: Option<Measured>,
    /// Distributions, each with what it is the latency of.
    pub latencies: Vec<(&'static str, Latency)>,
    /// The server's memory, where connections are idle.
    pub memory: Option<IdleMemory>,
    /// Further numbers.
    pub facts: Vec<(&'static str, f64)>,
    /// What the reader of the figures should know.
    pub notes: Vec<String>,
    /// What went wrong.
    pub faults: Faults,
}

impl Report {
    /// A report without figures.
    #[must_use]
    pub fn new(scenario: &'static str, unit: Unit, faults: Faults) -> Self {
        Self {
            scenario,
            settings: Vec::new(),
            unit,
            measured: None,
            latencies: Vec::new(),
            memory: None,
            facts: Vec::new(),
            notes: Vec::new(),
            faults,
        }
    }

    /// Adds an option of the run.
    #[must_use]
    pub fn setting(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.settings.push((name, value.into()));
        self
    }

    /// Adds time, work and CPU.
    #[must_use]
    pub fn measured(mut self, measured: Measured) -> Self {
        if measured.generator_cpu_seconds > 0.95 * measured.seconds {
            self.notes.push(
                "the generator used a whole core: rates and latencies are its own limit, the server's CPU figures hold"
                    .to_owned(),
            );
        }
        if let Some(others) = measured.others_cpu_seconds
            && others > 0.1 * measured.seconds
        {
            let share = 100.0 * others / measured.seconds;
            self.notes.push(format!(
                "other processes used {share:.0} % of a core meanwhile: figures are less sure"
            ));
        }
        self.measured = Some(measured);
        self
    }

    /// Adds a distribution, if there is one.
    #[must_use]
    pub fn latency(mut self, of: &'static str, latency: Option<Latency>) -> Self {
        self.latencies.extend(latency.map(|latency| (of, latency)));
        self
    }

    /// Adds the server's memory.
    #[must_use]
    pub fn memory(mut self, memory: IdleMemory) -> Self {
        self.memory = Some(memory);
        self
    }

    /// Adds a number.
    #[must_use]
    pub fn fact(mut self, name: &'static str, value: f64) -> Self {
        self.facts.push((name, value));
        self
    }

    /// Adds a note if something is not so.
    #[must_use]
    pub fn note_unless(mut self, fine: bool, note: &str) -> Self {
        if !fine {
            self.notes.push(note.to_owned());
        }
        self
    }

    /// The figure that stands for the whole run: KiB a connection where memory was measured, otherwise server CPU
    /// per unit in µs. `None` when no process was given.
    #[must_use]
    pub fn cost(&self) -> Option<f64> {
        match &self.memory {
            Some(memory) => Some(memory.kib_per_connection),
            None => self.measured?.cpu_us_per_unit(),
        }
    }

    /// The machine-readable form. Fields are only ever added.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut json = Map::new();
        let mut put = |name: &str, value: Value| {
            json.insert(name.to_owned(), value);
        };
        put("tool", json!(concat!("sockeye-loadtest ", env!("CARGO_PKG_VERSION"))));
        put("scenario", json!(self.scenario));
        let settings = self.settings.iter();
        let settings = settings.map(|(name, value)| ((*name).to_owned(), value.clone()));
        put("settings", Value::Object(settings.collect()));
        put("unit", json!(self.unit.one));
        if let Some(measured) = &self.measured {
            put("measured", json!(measured));
            put("rate_per_second", json!(measured.rate()));
            put("server_cpu_us_per_unit", json!(measured.cpu_us_per_unit()));
        }
        if !self.latencies.is_empty() {
            let latencies = self.latencies.iter();
            let latencies = latencies.map(|(of, latency)| ((*of).to_owned(), json!(latency)));
            put("latency", Value::Object(latencies.collect()));
        }
        if let Some(memory) = &self.memory {
            put("memory", json!(memory));
        }
        let facts = self.facts.iter();
        let facts = facts.map(|(name, value)| (name.replace(' ', "_"), json!(value)));
        put("facts", Value::Object(facts.collect()));
        put("notes", json!(self.notes));
        put("faults", json!(self.faults));
        Value::Object(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;

    fn measured() -> Measured {
        Measured {
            seconds: 2.0,
            units: 1_000_000,
            server_cpu_seconds: Some(1.9),
            generator_cpu_seconds: 1.95,
            others_cpu_seconds: Some(0.3),
        }
    }

    #[test]
    fn json_has_the_figures_under_their_names() {
        let mut faults = Faults::default();
        faults.add(Fault::Lost, 2, "message 1");
        let report = Report::new("fanout", Unit::DELIVERY, faults).setting("window", 16).measured(measured());
        let json = report.to_json();
        assert_eq!(json["settings"]["window"], 16);
        assert_eq!(json["server_cpu_us_per_unit"], 1.9);
        assert_eq!(json["rate_per_second"], 500_000.0);
        assert_eq!(json["faults"]["lost"]["count"], 2);
        assert_eq!(report.cost(), Some(1.9));
        assert_eq!(report.notes.len(), 2, "{:?}", report.notes);
    }

    #[test]
    fn memory_is_the_cost_of_an_idle_connection() {
        let memory = |resident_kib| Memory { resident_kib, anonymous_kib: 0 };
        let idle = IdleMemory::new(memory(1000), memory(3000), 500);
        let report = Report::new("idle", Unit::CONNECTION, Faults::default()).memory(idle);
        assert_eq!(report.cost(), Some(4.0));
        assert_eq!(report.to_json()["memory"]["kib_per_connection"], 4.0);
    }
}
