//! Pebble's command line, read as the `flag` package of Go does: one dash or two, `-name value` or `-name=value`.

use std::path::PathBuf;

/// What Pebble can be told on its command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// `-config`.
    pub config: Option<PathBuf>,
    /// `-dnsserver`: HOST:PORT, or :PORT for this machine.
    pub dns_server: Option<String>,
    /// `-strict`. Cairn is always strict.
    pub strict: bool,
    /// `-version`.
    pub version: bool,
}

/// Why a command line is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// Help was asked for.
    #[error("help was asked for")]
    Help,
    /// There is no such flag.
    #[error("there is no flag -{0}")]
    Unknown(String),
    /// A flag has no value.
    #[error("-{0} needs a value: -{0} VALUE or -{0}=VALUE")]
    NoValue(&'static str),
    /// A flag that is on or off has another value.
    #[error("-{name} is {value:?}; expected true or false")]
    NotBoolean {
        /// Which.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// Something that is no flag.
    #[error("{0:?} is no flag; flags begin with a dash")]
    Word(String),
}

/// What `-h` shows, and a wrong command line too.
pub const USAGE: &str = "\
Usage: pebble [flags], in this place the same as cairn pebble [flags]
  -config FILE
        the JSON configuration of Pebble (default: test/config/pebble-config.json if it is there)
  -dnsserver HOST:PORT
        the DNS server to ask (default: those of /etc/resolv.conf)
  -strict
        taken and of no effect: Cairn is always strict
  -version
        prints the version
docs/pebble.md of Cairn lists the environment variables.
";

impl Arguments {
    /// Reads a command line, without the program's name.
    ///
    /// # Errors
    /// See [`ArgumentError`].
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, ArgumentError> {
        let mut words = words.into_iter().peekable();
        let mut arguments = Self::default();
        while let Some(word) = words.next() {
            if word == "--" {
                break;
            }
            let flag = word.strip_prefix('-').filter(|flag| !flag.is_empty());
            let Some(flag) = flag.map(|flag| flag.strip_prefix('-').unwrap_or(flag)) else {
                return Err(ArgumentError::Word(word));
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            match name {
                "config" => {
                    arguments.config = Some(PathBuf::from(required("config", value, &mut words)?));
                }
                "dnsserver" => {
                    let server = required("dnsserver", value, &mut words)?;
                    arguments.dns_server = Some(server).filter(|server| !server.is_empty());
                }
                "strict" => {
                    // Pebble's own page tells to write `-strict false`, which its flags don't read so.
                    let value = value.or_else(|| words.next_if(|word| word == "true" || word == "false"));
                    arguments.strict = boolean("strict", value)?;
                }
                "version" => arguments.version = boolean("version", value)?,
                "h" | "help" => return Err(ArgumentError::Help),
                unknown => return Err(ArgumentError::Unknown(unknown.to_owned())),
            }
        }
        match words.next() {
            None => Ok(arguments),
            Some(word) => Err(ArgumentError::Word(word)),
        }
    }
}

fn required(
    name: &'static str,
    value: Option<String>,
    words: &mut impl Iterator<Item = String>,
) -> Result<String, ArgumentError> {
    value.or_else(|| words.next()).ok_or(ArgumentError::NoValue(name))
}

fn boolean(name: &'static str, value: Option<String>) -> Result<bool, ArgumentError> {
    match value.as_deref() {
        None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(value) => Err(ArgumentError::NotBoolean { name, value: value.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, ArgumentError> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_are_read_in_each_of_go_s_forms() {
        let wanted = Arguments {
            config: Some("a.json".into()),
            dns_server: Some(":8053".to_owned()),
            strict: true,
            version: false,
        };
        for line in [
            "-config a.json -dnsserver :8053 -strict",
            "--config a.json --dnsserver :8053 --strict",
            "-config=a.json -dnsserver=:8053 -strict=true",
            "--strict=1 --config=a.json --dnsserver=:8053 --",
            "-config b.json -strict true -config a.json -dnsserver :8053",
        ] {
            assert_eq!(parse(line), Ok(wanted.clone()), "{line}");
        }
        assert_eq!(parse(""), Ok(Arguments::default()));
        assert_eq!(parse("-strict false"), Ok(Arguments::default()));
        assert_eq!(parse("-version"), Ok(Arguments { version: true, ..Arguments::default() }));
    }

    #[test]
    fn a_wrong_command_line_is_told_with_what_would_be_right() {
        assert_eq!(parse("-h"), Err(ArgumentError::Help));
        assert_eq!(parse("--help"), Err(ArgumentError::Help));
        for (line, part) in [
            ("-configuration x", "-configuration"),
            ("-config", "-config VALUE"),
            ("-strict=perhaps", "true or false"),
            ("serve", "\"serve\""),
            ("- -strict", "\"-\""),
            ("-strict -- more", "\"more\""),
        ] {
            let error = parse(line).expect_err(line).to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
