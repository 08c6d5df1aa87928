//! Tables, as Markdown and as JSON. Several runs give the same tables, of which the medians are reported.

use std::{fmt::Write as _, fs, path::Path};

use serde_json::{Value, json};

use super::{Result, options::Options};

/// What stands in a table.
#[derive(Clone, Debug)]
pub enum Cell {
    Text(String),
    /// A number and how many decimals of it are worth telling.
    Number(f64, usize),
    /// Nothing was measured.
    Nothing,
    /// Whether a number is at most another.
    AtMost(f64, f64),
    /// Whether a number is at least another.
    AtLeast(f64, f64),
}

impl Cell {
    fn median(cells: &[&Self]) -> Self {
        let median_of = |number: fn(&Self) -> Option<f64>| {
            let mut numbers: Vec<f64> = cells.iter().filter_map(|cell| number(cell)).collect();
            numbers.sort_by(f64::total_cmp);
            let middle = numbers.len() / 2;
            match numbers.len() {
                0 => f64::NAN,
                length if length % 2 == 1 => numbers[middle],
                _ => f64::midpoint(numbers[middle - 1], numbers[middle]),
            }
        };
        let value = median_of(|cell| match cell {
            Self::Number(value, _) | Self::AtMost(value, _) | Self::AtLeast(value, _) => Some(*value),
            Self::Text(_) | Self::Nothing => None,
        });
        let limit = median_of(|cell| match cell {
            Self::AtMost(_, limit) | Self::AtLeast(_, limit) => Some(*limit),
            Self::Text(_) | Self::Number(..) | Self::Nothing => None,
        });
        match cells.iter().find(|cell| !matches!(cell, Self::Nothing)) {
            Some(Self::Number(_, decimals)) => Self::Number(value, *decimals),
            Some(Self::AtMost(..)) => Self::AtMost(value, limit),
            Some(Self::AtLeast(..)) => Self::AtLeast(value, limit),
            Some(Self::Text(text)) => Self::Text(text.clone()),
            Some(Self::Nothing) | None => Self::Nothing,
        }
    }

    fn text(&self) -> String {
        let verdict = |holds| if holds { "yes" } else { "**no**" }.to_owned();
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(value, decimals) => format!("{value:.decimals$}"),
            Self::Nothing => String::new(),
            Self::AtMost(value, limit) => verdict(value <= limit),
            Self::AtLeast(value, limit) => verdict(value >= limit),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Number(value, _) => json!(value),
            Self::Nothing => Value::Null,
            Self::AtMost(value, limit) => json!(value <= limit),
            Self::AtLeast(value, limit) => json!(value >= limit),
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// Figures of the same kind.
#[derive(Clone, Debug)]
pub struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table. The first column names what a row is about.
    pub fn new(title: &str, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        Self { title: title.to_owned(), columns, rows: Vec::new() }
    }

    /// Adds a row, and says so: a run takes minutes.
    pub fn add(&mut self, name: &str, cells: impl IntoIterator<Item = Cell>) {
        let mut row = vec![Cell::from(name)];
        row.extend(cells);
        let texts: Vec<_> = row.iter().map(Cell::text).collect();
        eprintln!("  {}", texts.join(" | "));
        self.rows.push(row);
    }

    /// The medians of equal tables.
    fn median(tables: &[Self]) -> Self {
        let Some(first) = tables.first() else { return Self::new("", &[]) };
        let mut median = first.clone();
        for (at, row) in median.rows.iter_mut().enumerate() {
            for (number, cell) in row.iter_mut().enumerate() {
                let cells: Vec<_> =
                    tables.iter().filter_map(|table| table.rows.get(at)?.get(number)).collect();
                *cell = Cell::median(&cells);
            }
        }
        median
    }

    fn markdown(&self) -> String {
        let mut text = format!("\n### {}\n\n| {} |\n|---|", self.title, self.columns.join(" | "));
        text += &"---:|".repeat(self.columns.len().saturating_sub(1));
        for row in &self.rows {
            let cells: Vec<_> = row.iter().map(Cell::text).collect();
            let _ = write!(text, "\n| {} |", cells.join(" | "));
        }
        text + "\n"
    }

    fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let members = self.columns.iter().zip(row).map(|(column, cell)| (column.clone(), cell.json()));
            Value::Object(members.collect())
        });
        json!({ "title": self.title, "rows": rows.collect::<Vec<_>>() })
    }
}

/// Makes all runs, prints the medians and writes them where the options say. Returns the tables.
pub async fn report(
    options: &Options,
    mut run: impl AsyncFnMut() -> Result<Vec<Table>>,
) -> Result<Vec<Table>> {
    let mut runs = Vec::new();
    for number in 1..=options.runs {
        eprintln!("run {number} of {}", options.runs);
        runs.push(run().await?);
    }
    let count = runs.first().map_or(0, Vec::len);
    let tables: Vec<_> = (0..count)
        .map(|at| {
            let same: Vec<_> = runs.iter().filter_map(|tables| tables.get(at).cloned()).collect();
            Table::median(&same)
        })
        .collect();
    for table in &tables {
        print!("{}", table.markdown());
    }
    if let Some(file) = &options.json {
        write_json(file, options, &tables)?;
    }
    Ok(tables)
}

fn write_json(file: &Path, options: &Options, tables: &[Table]) -> Result<()> {
    let tables: Vec<_> = tables.iter().map(Table::json).collect();
    let json = json!({
        "seconds": options.duration.as_secs_f64(),
        "runs": options.runs,
        "pinned": options.pin,
        "tables": tables,
    });
    Ok(fs::write(file, serde_json::to_vec_pretty(&json)?)?)
}
