//! The table of a comparison, as markdown that is also readable as text, and as JSON.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use super::rounds::{Cell, Outcome};
use super::rows::Row;
use crate::fault::Faults;
use crate::stats::{Comparison, Spread, Verdict};

/// One row of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The row's short name.
    pub name: &'static str,
    /// What was done.
    pub title: String,
    /// What the costs count.
    pub figure: &'static str,
    /// The costs of A and B; `None` when it could not be measured.
    pub cost: [Option<Spread>; 2],
    /// The medians of the 99th percentiles of A and B, in µs.
    pub p99_us: [Option<f64>; 2],
    /// The ratios A / B.
    pub comparison: Option<Comparison>,
    /// What went wrong on A and B.
    pub faults: [Faults; 2],
    /// All that was measured: for each round A and B.
    pub rounds: Vec<[Option<Cell>; 2]>,
}

/// The whole comparison.
#[derive(Clone, Debug)]
pub struct Table {
    /// What A and B are called.
    pub names: [String; 2],
    /// How they were started.
    pub commands: [String; 2],
    /// The rows.
    pub lines: Vec<Line>,
    /// What the reader of the figures should know.
    pub notes: Vec<String>,
}

impl Table {
    /// Puts the rounds together. `tolerance`: the relative difference up to which A and B count as equal.
    #[must_use]
    pub fn new(
        names: [String; 2],
        commands: [String; 2],
        rows: &[Row],
        outcome: &Outcome,
        tolerance: f64,
    ) -> Self {
        let lines: Vec<Line> = rows
            .iter()
            .zip(outcome.cells.iter().zip(&outcome.faults))
            .map(|(row, (cells, faults))| line(row, cells, faults, tolerance))
            .collect();
        let mut notes = vec![
            "Costs are medians (smallest to largest), the ratio is the median of the rounds' own ratios."
                .to_owned(),
        ];
        for side in [0, 1] {
            let name = &names[side];
            let faulty = |line: &&Line| line.faults[side].total() > 0;
            for line in lines.iter().filter(faulty) {
                notes.push(format!("Errors of {name} in {}: {}.", line.name, line.faults[side]));
            }
            for (failure, times) in &outcome.failures[side] {
                notes.push(format!("{name} could not be measured {times} times: {failure}"));
            }
        }
        let busy = |line: &&Line| {
            let cells = line.rounds.iter().flatten().flatten();
            let others: Vec<f64> = cells.map(|cell| cell.others).collect();
            Spread::of(&others).is_some_and(|others| others.median > 0.1)
        };
        let disturbed: Vec<&str> = lines.iter().filter(busy).map(|line| line.name).collect();
        if !disturbed.is_empty() {
            notes.push(format!(
                "Other processes used more than 10 % of a core during {}: take new figures on a quiet machine.",
                disturbed.join(", ")
            ));
        }
        Self { names, commands, lines, notes }
    }

    /// The machine-readable form. Fields are only ever added.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "tool": concat!("sockeye-loadtest ", env!("CARGO_PKG_VERSION")),
            "names": self.names,
            "commands": self.commands,
            "rows": self.lines,
            "notes": self.notes,
        })
    }
}

fn line(row: &Row, cells: &[[Option<Cell>; 2]], faults: &[Faults; 2], tolerance: f64) -> Line {
    let spread = |side: usize, of: fn(&Cell) -> Option<f64>| {
        let values: Vec<f64> = cells.iter().filter_map(|pair| of(pair[side].as_ref()?)).collect();
        Spread::of(&values)
    };
    let pairs = cells.iter().filter_map(|[a, b]| Some((a.as_ref()?.cost, b.as_ref()?.cost)));
    let (a, b): (Vec<f64>, Vec<f64>) = pairs.unzip();
    Line {
        name: row.name,
        title: row.title.clone(),
        figure: row.figure,
        cost: [0, 1].map(|side| spread(side, |cell| Some(cell.cost))),
        p99_us: [0, 1].map(|side| Some(spread(side, |cell| cell.p99_us)?.median)),
        comparison: Comparison::of(&a, &b, tolerance),
        faults: faults.clone(),
        rounds: cells.to_vec(),
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b] = &self.names;
        let mut grid = vec![vec![
            "Work".to_owned(),
            "figure".to_owned(),
            a.clone(),
            b.clone(),
            format!("{a} / {b}"),
            format!("{a} costs"),
            format!("p99 {a}"),
            format!("p99 {b}"),
        ]];
        for line in &self.lines {
            let cost = |side: usize| line.cost[side].map_or("–".to_owned(), |cost| shown(&cost));
            let p99 = |side: usize| line.p99_us[side].map_or("–".to_owned(), time);
            let (ratio, verdict) = match &line.comparison {
                Some(found) => (shown(&found.ratio), found.verdict),
                None => ("–".to_owned(), Verdict::Unsure),
            };
            grid.push(vec![
                line.title.clone(),
                line.figure.to_owned(),
                cost(0),
                cost(1),
                ratio,
                verdict.as_str().to_owned(),
                p99(0),
                p99(1),
            ]);
        }
        write_grid(f, &grid)?;
        writeln!(f)?;
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        Ok(())
    }
}

/// `0.87 (0.80–0.95)`.
fn shown(spread: &Spread) -> String {
    let number = |value: f64| {
        if value.abs() < 9.995 { format!("{value:.2}") } else { format!("{value:.1}") }
    };
    let (median, low, high) = (spread.median, spread.low, spread.high);
    if spread.count == 1 {
        number(median)
    } else {
        format!("{} ({}–{})", number(median), number(low), number(high))
    }
}

fn time(us: f64) -> String {
    if us >= 1000.0 { format!("{:.1} ms", us / 1000.0) } else { format!("{us:.0} µs") }
}

/// Markdown whose columns are padded: the first row is the head.
fn write_grid(f: &mut fmt::Formatter<'_>, grid: &[Vec<String>]) -> fmt::Result {
    let columns = grid.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = grid.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    for (index, row) in grid.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            write!(f, "| {cell:<width$} ")?;
        }
        writeln!(f, "|")?;
        if index == 0 {
            for width in &widths {
                write!(f, "|{}", "-".repeat(width + 2))?;
            }
            writeln!(f, "|")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::compare::rows;
    use crate::fault::Fault;
    use crate::scenario::Timing;

    fn cell(cost: f64) -> Option<Cell> {
        Some(Cell { cost, rate: 0.0, p50_us: Some(1.0), p99_us: Some(1500.0), generator: 0.5, others: 0.2 })
    }

    fn table() -> Table {
        let timing = Timing { duration: Duration::from_secs(1), warmup: Duration::ZERO };
        let rows = rows::pick(rows::all(timing, 100), &["acks-w1".to_owned()]).expect("known");
        let mut rounds: Vec<[Option<Cell>; 2]> = (0..6).map(|_| [cell(4.0), cell(8.0)]).collect();
        rounds.push([cell(100.0), None]);
        let mut outcome = Outcome { cells: vec![rounds], ..Outcome::default() };
        outcome.faults.push(Default::default());
        outcome.faults[0][0].add(Fault::Lost, 2, "an ack");
        outcome.failures[1].insert("acks-w1: gone".to_owned(), 1);
        let names = ["ours".to_owned(), "theirs".to_owned()];
        Table::new(names, ["x".to_owned(), "y".to_owned()], &rows, &outcome, 0.05)
    }

    #[test]
    fn ratios_are_those_of_rounds_in_which_both_were_measured() {
        let line = &table().lines[0];
        let found = line.comparison.expect("pairs");
        assert_eq!((found.ratio.median, found.ratio.count), (0.5, 6));
        assert_eq!(found.verdict, Verdict::Less);
        assert_eq!(line.cost[0].map(|cost| (cost.high, cost.count)), Some((100.0, 7)));
    }

    #[test]
    fn the_table_is_markdown_with_straight_columns() {
        let text = table().to_string();
        let rows: Vec<&str> = text.lines().take_while(|line| line.starts_with('|')).collect();
        assert_eq!(rows.len(), 3, "{text}");
        let width = rows[0].chars().count();
        assert!(rows.iter().all(|row| row.chars().count() == width), "{text}");
        for part in [
            "ours / theirs",
            "0.50 (0.50–0.50)",
            "| less",
            "1.5 ms",
            "Errors of ours in acks-w1: 2 lost.",
            "theirs could not be measured 1 times: acks-w1: gone",
            "during acks-w1",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }

    #[test]
    fn json_keeps_every_round() {
        let json = table().to_json();
        assert_eq!(json["rows"][0]["rounds"][6][1], Value::Null);
        assert_eq!(json["rows"][0]["comparison"]["verdict"], "less");
        assert_eq!(json["names"][1], "theirs");
    }
}
