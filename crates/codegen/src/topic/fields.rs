//! Takes the fields of a TOML table one by one and reports those of a wrong type or name.

use toml::{Table, Value};

use crate::problem::Collector;

/// A table being read. What remains at the end is unknown.
pub struct Fields<'a> {
    file: &'a str,
    /// Where the table is, such as `http[0].`; empty at the root.
    at: String,
    table: Table,
    known: Vec<&'static str>,
    problems: &'a Collector,
}

impl<'a> Fields<'a> {
    pub fn new(file: &'a str, table: Table, problems: &'a Collector) -> Self {
        Self {
            file,
            at: String::new(),
            table,
            known: Vec::new(),
            problems,
        }
    }

    pub fn problem(&self, key: &str, message: &str) {
        self.problems
            .add(self.file, format!("`{}{key}` {message}", self.at));
    }

    fn take<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Option<T> {
        self.known.push(key);
        let value = read(self.table.remove(key)?);
        if value.is_none() {
            self.problem(key, &format!("is not {expected}: correct it."));
        }
        value
    }

    /// A string that must be there.
    pub fn required(&mut self, key: &'static str, what: &str) -> String {
        let present = self.table.contains_key(key);
        match self.string(key) {
            Some(text) if text.trim().is_empty() => {
                self.problem(key, &format!("is empty: write {what}."));
                text
            }
            Some(text) => text,
            None => {
                if !present {
                    self.problem(key, &format!("is missing: add {what}."));
                }
                String::new()
            }
        }
    }

    pub fn string(&mut self, key: &'static str) -> Option<String> {
        self.take(key, "a string", |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    pub fn boolean(&mut self, key: &'static str, default: bool) -> bool {
        self.take(key, "true or false", |value| value.as_bool())
            .unwrap_or(default)
    }

    /// An integer from 1 to what `T` holds.
    pub fn positive<T: TryFrom<i64>>(&mut self, key: &'static str) -> Option<T> {
        self.take(key, "a positive integer", |value| {
            value
                .as_integer()
                .filter(|number| *number > 0)
                .and_then(|number| T::try_from(number).ok())
        })
    }

    /// One of two words; whether it is the second, which is not the default.
    pub fn choice(&mut self, key: &'static str, default: &str, other: &str) -> bool {
        let expected = format!("\"{default}\" or \"{other}\"");
        self.take(key, &expected, |value| match value.as_str() {
            Some(word) if word == default => Some(false),
            Some(word) if word == other => Some(true),
            _ => None,
        })
        .unwrap_or(false)
    }

    /// One of several words.
    pub fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let quoted: Vec<_> = words
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        self.take(key, &quoted.join(" or "), |value| {
            let text = value.as_str()?;
            let known = words.iter().find(|(word, _)| *word == text);
            known.map(|(_, value)| *value)
        })
    }

    pub fn strings(&mut self, key: &'static str) -> Vec<String> {
        self.take(key, "an array of strings", |value| {
            let items = value.as_array()?;
            items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect()
        })
        .unwrap_or_default()
    }

    /// The entries of a table.
    pub fn entries(&mut self, key: &'static str) -> Vec<(String, Value)> {
        let table = self.take(key, "a table", |value| match value {
            Value::Table(table) => Some(table),
            _ => None,
        });
        table.unwrap_or_default().into_iter().collect()
    }

    /// A table within this one.
    pub fn table(&mut self, key: &'static str) -> Option<Fields<'a>> {
        let table = self.take(key, "a table", |value| match value {
            Value::Table(table) => Some(table),
            _ => None,
        })?;
        let at = format!("{}{key}.", self.at);
        Some(Fields {
            at,
            ..Fields::new(self.file, table, self.problems)
        })
    }

    /// The tables of an array.
    pub fn tables(&mut self, key: &'static str) -> Vec<Fields<'a>> {
        let tables = self.take(key, "an array of tables", |value| match value {
            Value::Array(items) => items
                .into_iter()
                .map(|item| match item {
                    Value::Table(table) => Some(table),
                    _ => None,
                })
                .collect::<Option<Vec<_>>>(),
            _ => None,
        });
        let new = |(index, table)| {
            let at = format!("{}{key}[{index}].", self.at);
            Fields {
                at,
                ..Fields::new(self.file, table, self.problems)
            }
        };
        tables
            .unwrap_or_default()
            .into_iter()
            .enumerate()
            .map(new)
            .collect()
    }

    /// Reports whatever was not taken.
    pub fn finish(self) {
        for key in self.table.keys() {
            let known = self.known.join(", ");
            self.problem(
                key,
                &format!("is unknown: remove it, or correct it to one of {known}."),
            );
        }
    }
}
