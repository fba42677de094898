use std::borrow::Cow;
use std::io::{self, Write};
use std::ops::AddAssign;

use flow::Timestamp;
use serde::{Serialize, Serializer};

use crate::output::{Line, Rows, Shown, moment};

/// Named numbers in groups, in the order in which they are printed: an object in JSON, sections
/// for people, a table of paths and values.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<(Cow<'static, str>, Value)>);

#[derive(Debug)]
pub(super) enum Value {
    Number(u64),
    Moment(Timestamp),
    Traffic(Traffic),
    Group(Report),
}

/// Flows and what they carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Traffic {
    pub(super) flows: u64,
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.flows += other.flows;
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

impl Traffic {
    const COLUMNS: [&str; 3] = ["flows", "packets", "bytes"];

    const fn numbers(self) -> [u64; 3] {
        [self.flows, self.packets, self.bytes]
    }
}

impl Report {
    /// The same report with one more value.
    pub(super) fn with(mut self, name: impl Into<Cow<'static, str>>, value: Value) -> Self {
        self.0.push((name.into(), value));
        self
    }

    /// The same report with one more number.
    pub(super) fn number(self, name: &'static str, number: u64) -> Self {
        self.with(name, Value::Number(number))
    }

    /// The same report with one more group.
    pub(super) fn group(self, name: &'static str, group: Self) -> Self {
        self.with(name, Value::Group(group))
    }

    /// A section: what is directly in the group, then the groups in it.
    fn section(&self, title: &str, out: &mut dyn Write) -> io::Result<()> {
        let values = || self.0.iter().filter(|(_, value)| !matches!(value, Value::Group(_)));
        let mut indent = "";
        if !title.is_empty() && values().next().is_some() {
            indent = "  ";
            write!(out, "\n{title}")?;
            if values().any(|(_, value)| matches!(value, Value::Traffic(_))) {
                write!(out, "{:1$}", "", NAME_WIDTH.saturating_sub(title.len()))?;
                Traffic::COLUMNS.iter().try_for_each(|name| write!(out, " {name:>15}"))?;
            }
            writeln!(out)?;
        }
        for (name, value) in values() {
            let name = format!("{indent}{}", words(name));
            match value {
                Value::Number(number) => writeln!(out, "{name:NAME_WIDTH$} {number:>15}")?,
                // As wide as a name and a number.
                Value::Moment(moment) => writeln!(out, "{name:21} {:>26}", self::moment(*moment))?,
                Value::Traffic(traffic) => {
                    write!(out, "{name:NAME_WIDTH$}")?;
                    traffic.numbers().iter().try_for_each(|n| write!(out, " {n:>15}"))?;
                    writeln!(out)?;
                }
                Value::Group(_) => {}
            }
        }
        for (name, value) in &self.0 {
            if let Value::Group(group) = value {
                group.section(format!("{title} {}", words(name)).trim_start(), out)?;
            }
        }
        Ok(())
    }

    fn rows(&self, path: &str, row: &mut Rows) -> io::Result<()> {
        for (name, value) in &self.0 {
            let path = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
            match value {
                Value::Number(number) => pair(&path, number, row)?,
                Value::Moment(moment) => pair(&path, moment, row)?,
                Value::Traffic(traffic) => {
                    for (name, number) in Traffic::COLUMNS.iter().zip(traffic.numbers()) {
                        pair(&format!("{path}.{name}"), number, row)?;
                    }
                }
                Value::Group(group) => group.rows(&path, row)?,
            }
        }
        Ok(())
    }
}

/// Columns of the names.
const NAME_WIDTH: usize = 32;

/// A name as people write it.
fn words(name: &str) -> String {
    name.replace('_', " ")
}

fn pair(name: &str, value: impl std::fmt::Display, row: &mut Rows) -> io::Result<()> {
    row.field(name)?;
    row.field(value)?;
    row.end()
}

impl Line for Report {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut text = Vec::new();
        self.section("", &mut text)?;
        out.write_all(text.trim_ascii_end())
    }

    fn row(&self, row: &mut Rows) -> io::Result<()> {
        self.rows("", row)
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => number.serialize(serializer),
            Self::Moment(moment) => Shown(moment).serialize(serializer),
            Self::Traffic(traffic) => traffic.serialize(serializer),
            Self::Group(group) => group.serialize(serializer),
        }
    }
}
