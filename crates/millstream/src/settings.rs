//! Settings of the handlers on the way through `dev`: it takes the flags of `serve`, and hands on what
//! it was given to the processes that serve.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::marker::PhantomData;

use anyhow::Context;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

/// Verbs that serve the handlers in processes of their own.
const VERBS: [&str; 2] = ["dev", "demo"];
/// Where `--help` lists the settings.
pub(crate) const HEADING: &str = "Settings of the handlers";

/// Flags of `S` that were given, or differ in `dev`, as the process takes them that serves.
pub(crate) struct Passed<S> {
    /// Variables, for a value may be a secret and arguments can be seen by everybody on a machine.
    pub variables: BTreeMap<String, String>,
    /// Flags that no variable stands for.
    pub arguments: Vec<OsString>,
    of: PhantomData<S>,
}

impl<S: Args> FromArgMatches for Passed<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        // What is wrong is said now and not in the log of a part.
        S::from_arg_matches(matches)?;
        let mut passed = Self {
            variables: BTreeMap::new(),
            arguments: Vec::new(),
            of: PhantomData,
        };
        for flag in S::augment_args(Command::new("")).get_arguments() {
            passed.add(flag, matches);
        }
        Ok(passed)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<S: Args> Args for Passed<S> {
    fn augment_args(command: Command) -> Command {
        S::augment_args(command.next_help_heading(HEADING))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<S> Passed<S> {
    fn add(&mut self, flag: &Arg, matches: &ArgMatches) {
        let id = flag.get_id().as_str();
        let values: Vec<OsString> = match matches.try_get_raw(id) {
            Ok(Some(values)) => values.map(Into::into).collect(),
            Ok(None) | Err(_) => return,
        };
        // `serve` has this value by itself.
        let is_default = matches.value_source(id) == Some(ValueSource::DefaultValue)
            && values.iter().eq(flag.get_default_values().iter());
        let is_switch = matches!(
            flag.get_action(),
            ArgAction::SetTrue | ArgAction::SetFalse | ArgAction::Count
        );
        if is_default || (is_switch && matches.value_source(id) == Some(ValueSource::DefaultValue))
        {
            return;
        }
        let texts: Option<Vec<&str>> = values.iter().map(|value| value.to_str()).collect();
        let joined = match (texts.as_deref(), flag.get_value_delimiter()) {
            (Some([one]), _) => Some((*one).to_owned()),
            (Some(several), Some(delimiter)) => Some(several.join(&delimiter.to_string())),
            _ => None,
        };
        match (flag.get_env(), joined, flag.get_long()) {
            (Some(variable), Some(value), _) if !matches!(flag.get_action(), ArgAction::Count) => {
                let variable = variable.to_string_lossy().into_owned();
                self.variables.insert(variable, value);
            }
            (_, _, Some(long)) if is_switch => self.arguments.push(format!("--{long}").into()),
            (_, _, Some(long)) => {
                for value in values {
                    self.arguments.extend([format!("--{long}").into(), value]);
                }
            }
            _ => {}
        }
    }
}

/// Gives settings their values in `dev` and `demo`, where those differ from those of `serve`; the
/// variables of `stand_ins` have the URLs of stand-ins, which are not known yet.
pub(crate) fn in_dev<S: Args>(
    mut command: Command,
    values: &'static [(&'static str, &'static str)],
    stand_ins: &'static [(&'static str, &'static str)],
) -> anyhow::Result<Command> {
    let flags = S::augment_args(Command::new(""));
    for flag in flags.get_arguments() {
        let variable = flag.get_env().and_then(|name| name.to_str());
        if stand_ins.iter().all(|(name, _)| Some(*name) != variable) {
            continue;
        }
        for verb in VERBS {
            let id = flag.get_id().clone();
            command = command.mut_subcommand(verb, |verb| {
                verb.mut_arg(id, |flag| {
                    let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
                    let help = format!("{help} [default: the stand-in's]");
                    flag.help(help).hide_default_value(true)
                })
            });
        }
    }
    for (long, value) in values {
        let flag = flags
            .get_arguments()
            .find(|flag| flag.get_long() == Some(long))
            .with_context(|| {
                format!("--{long} has a value for `dev` (dev_settings) and is no setting of the handlers")
            })?;
        for verb in VERBS {
            let id = flag.get_id().clone();
            command = command.mut_subcommand(verb, |verb| {
                verb.mut_arg(id, |flag| flag.default_value(*value).required(false))
            });
        }
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, clap::Args)]
    #[group(skip)]
    struct Settings {
        #[arg(long, default_value = "5000", env = "SETTINGS_TEST_DELAY_MS")]
        delay_ms: u64,
        #[arg(long, default_value = "http://localhost", env = "SETTINGS_TEST_URL")]
        url: String,
        #[arg(long)]
        name: Vec<String>,
        #[arg(long)]
        loud: bool,
    }

    fn passed(words: &[&str]) -> Passed<Settings> {
        let dev = Passed::<Settings>::augment_args(Command::new("dev"));
        let demo = Passed::<Settings>::augment_args(Command::new("demo"));
        let command = Command::new("it").subcommand(dev).subcommand(demo);
        let (values, stand_ins) = (&[("delay-ms", "7")], &[("SETTINGS_TEST_URL", "/x")]);
        let command = in_dev::<Settings>(command, values, stand_ins).unwrap();
        command.clone().debug_assert();
        let words = ["it", "dev"].iter().chain(words);
        let matches = command.try_get_matches_from(words).unwrap();
        let (_, matches) = matches.subcommand().unwrap();
        Passed::from_arg_matches(matches).unwrap()
    }

    #[test]
    fn what_is_given_and_what_differs_is_handed_on() {
        let nothing = passed(&[]);
        assert_eq!(
            nothing.variables,
            [("SETTINGS_TEST_DELAY_MS".to_owned(), "7".to_owned())].into()
        );
        assert!(nothing.arguments.is_empty(), "{:?}", nothing.arguments);
        // So the stand-in's URL stays what the dev stack makes it.
        assert!(!nothing.variables.contains_key("SETTINGS_TEST_URL"));

        let given = passed(&["--url", "http://x", "--name", "a", "--name", "b", "--loud"]);
        assert_eq!(given.variables["SETTINGS_TEST_URL"], "http://x");
        assert_eq!(given.arguments, ["--name", "a", "--name", "b", "--loud"]);
        // Also a value that is that of `serve`, since that of `dev` is another one.
        let same = passed(&["--delay-ms", "5000"]);
        assert_eq!(same.variables["SETTINGS_TEST_DELAY_MS"], "5000");
    }

    #[test]
    fn a_value_for_an_unknown_flag_is_told() {
        let error = in_dev::<Settings>(Command::new("it"), &[("delay", "7")], &[]).unwrap_err();
        assert!(error.to_string().contains("--delay "), "{error}");
    }
}
