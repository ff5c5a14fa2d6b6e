//! The result as text for people.

use std::fmt;
use std::time::Duration;

use super::Report;
use crate::stats::Latency;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings: Vec<String> = self
            .settings
            .iter()
            .map(|(name, value)| match value.as_str() {
                Some(text) => format!("{name} {text}"),
                None => format!("{name} {value}"),
            })
            .collect();
        writeln!(f, "{}: {}", self.scenario, settings.join(", "))?;
        if let Some(measured) = &self.measured {
            let rate = format!("{} {}/s", thousands(measured.rate()), self.unit.many);
            let work = format!("{} in {:.2} s", thousands(measured.units as f64), measured.seconds);
            line(f, "rate", format_args!("{rate} ({work})"))?;
            let core = |seconds: f64| 100.0 * seconds / measured.seconds;
            match (measured.cpu_us_per_unit(), measured.server_cpu_seconds) {
                (Some(cost), Some(cpu)) => {
                    let (unit, core) = (self.unit.one, core(cpu));
                    line(f, "server CPU", format_args!("{cost:.3} µs a {unit} ({core:.0} % of a core)"))?;
                }
                _ => line(f, "server CPU", format_args!("not measured (give --pid)"))?,
            }
            let own = core(measured.generator_cpu_seconds);
            match measured.others_cpu_seconds {
                Some(others) => line(
                    f,
                    "generator CPU",
                    format_args!("{own:.0} % of a core, everything else {:.0} %", core(others)),
                )?,
                None => line(f, "generator CPU", format_args!("{own:.0} % of a core"))?,
            }
        }
        for (of, latency) in &self.latencies {
            line(f, "latency", format_args!("{} ({of})", Shown(latency)))?;
        }
        if let Some(memory) = &self.memory {
            let (before, after) = (memory.before.resident_kib, memory.after.resident_kib);
            let each = memory.kib_per_connection;
            line(
                f,
                "server memory",
                format_args!("{before} KiB before, {after} KiB after: {each:.2} KiB a connection"),
            )?;
        }
        for (name, value) in &self.facts {
            if value.fract() == 0.0 {
                line(f, name, format_args!("{}", thousands(*value)))?;
            } else {
                line(f, name, format_args!("{value:.2}"))?;
            }
        }
        for note in &self.notes {
            line(f, "note", format_args!("{note}"))?;
        }
        line(f, "errors", format_args!("{}", self.faults))?;
        for (fault, _, example) in self.faults.iter() {
            line(f, "", format_args!("first {}: {example}", fault.as_str()))?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(f, "  {name:<15} {value}")
}

/// A latency in one line.
struct Shown<'a>(&'a Latency);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |us: f64| {
            let rounded = Duration::from_nanos((us * 1e3) as u64);
            format!("{rounded:.1?}")
        };
        let Latency { p50_us, p90_us, p99_us, max_us, .. } = *self.0;
        write!(f, "p50 {}, p90 {}, p99 {}, max {}", time(p50_us), time(p90_us), time(p99_us), time(max_us))
    }
}

/// A whole number with a comma after every three digits.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", digits.as_str()),
    };
    let mut out = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Fault, Faults};
    use crate::report::Unit;
    use crate::scenario::Measured;
    use crate::stats::Histogram;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0.0, "0"), (999.4, "999"), (1000.0, "1,000"), (-1234567.0, "-1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn the_text_says_what_was_done_what_it_cost_and_what_went_wrong() {
        let mut faults = Faults::default();
        faults.add(Fault::Duplicate, 3, "message 5");
        let mut latencies = Histogram::default();
        latencies.record(Duration::from_micros(1500));
        let text = Report::new("fanout", Unit::DELIVERY, faults)
            .setting("connections", 1000)
            .measured(Measured {
                seconds: 2.0,
                units: 2_000_000,
                server_cpu_seconds: Some(1.5),
                generator_cpu_seconds: 1.0,
                others_cpu_seconds: Some(0.02),
            })
            .latency("delivery", latencies.summary())
            .to_string();
        for part in [
            "fanout: connections 1000",
            "1,000,000 deliveries/s (2,000,000 in 2.00 s)",
            "0.750 µs a delivery (75 % of a core)",
            "50 % of a core, everything else 1 %",
            "p99 1.5ms",
            "3 duplicate",
            "first duplicate: message 5",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }

    #[test]
    fn without_a_process_it_says_how_to_get_cpu_figures() {
        let measured = Measured {
            seconds: 1.0,
            units: 5,
            server_cpu_seconds: None,
            generator_cpu_seconds: 0.1,
            others_cpu_seconds: None,
        };
        let text = Report::new("acks", Unit::REQUEST, Faults::default()).measured(measured).to_string();
        assert!(text.contains("--pid") && text.contains("errors          none"), "{text}");
    }
}
