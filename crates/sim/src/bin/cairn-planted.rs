//! `cairn-planted`: puts faults in on purpose, one at a time, and lets the simulation look for each. Ends with 1 if one
//! is not found, or if something is found where nothing was planted.

use std::process::ExitCode;
use std::str::FromStr;

use clap::Parser;
use sim::enumeration::{self, Case, Life};
use sim::planted::{self, Planted, hunt};
use sim::run;
use sim::scenario::Scenario;
use sim::world::Options;

/// Looks for planted faults, and prints what found each of them.
#[derive(Debug, Parser)]
#[command(name = "cairn-planted", version)]
struct Arguments {
    /// Only these.
    names: Vec<String>,
    /// Seeds run for each, until one finds it.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Look for those with enumerated faults too that seeds have found.
    #[arg(long)]
    always_enumerate: bool,
    /// Look for those that seeds have not found with enumerated faults in the lives where they are to show alone.
    #[arg(long)]
    shortly: bool,
    /// Only list them.
    #[arg(long)]
    list: bool,
    /// Tell the story of this seed, or of this case of an enumeration, with each of them.
    #[arg(long)]
    tell: Option<Told>,
}

/// A run that is to be told.
#[derive(Clone, Debug)]
enum Told {
    Seed(u64),
    Case(Case),
}

impl FromStr for Told {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self::Seed).or_else(|_| text.parse().map(Self::Case))
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let wanted = |one: &Planted| arguments.names.is_empty() || arguments.names.iter().any(|name| name == one.name);
    let all: Vec<Planted> = planted::all().into_iter().filter(wanted).collect();
    if arguments.list {
        for one in &all {
            println!("{:30} {}", one.name, one.of);
        }
        return ExitCode::SUCCESS;
    }
    if let Some(told) = &arguments.tell {
        all.iter().for_each(|one| tell(one, told));
        return ExitCode::SUCCESS;
    }
    #[cfg(not(planted))]
    println!("built without `--cfg planted`: only faults of ports; crates/sim/planted/run has them all");
    if !is_clean(&arguments) {
        return ExitCode::FAILURE;
    }
    println!("| planted fault | in | seeds until found | by | enumerated runs until found | by |");
    println!("|---|---|---|---|---|---|");
    let missed: Vec<&str> = all.iter().filter(|one| !look_for(one, &arguments)).map(|one| one.name).collect();
    println!("{} faults planted, {} found; not found: {missed:?}", all.len(), all.len() - missed.len());
    if missed.is_empty() && !all.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Where nothing is planted nothing is found.
fn is_clean(arguments: &Arguments) -> bool {
    let mut found = Vec::new();
    let seeds = arguments.from..arguments.from + arguments.seeds.min(100);
    for seed in seeds.clone() {
        let report = run::run(seed, Scenario::draw(seed), planted::options(None));
        found.extend(report.violations.into_iter().map(|violation| format!("seed {seed}: {violation}")));
    }
    let mut lives = 0;
    for life in Life::ALL {
        for schedule in 0..life.schedules() {
            let ended = enumeration::run(&Case::calm(life, schedule), None, false);
            found.extend(ended.violations.into_iter().map(|violation| format!("{}: {violation}", life.name())));
            lives += 1;
        }
    }
    println!("nothing planted: {} seeds, {lives} calm lives, {} violations", seeds.count(), found.len());
    found.iter().for_each(|line| println!("  {line}"));
    found.is_empty()
}

fn tell(one: &Planted, told: &Told) {
    let story = match told {
        Told::Seed(seed) => {
            let options = Options { told: true, ..planted::options(Some(one)) };
            run::run(*seed, Scenario::draw(*seed), options).story
        }
        Told::Case(case) => enumeration::run(case, Some(one), true).story,
    };
    println!("{}:", one.name);
    story.iter().for_each(|line| println!("{line}"));
}

/// Whether it was found.
fn look_for(one: &Planted, arguments: &Arguments) -> bool {
    let by_seeds = hunt::by_seeds(one, arguments.from, arguments.seeds);
    let wanted = arguments.always_enumerate || by_seeds.is_none();
    let enumerated = if wanted { hunt::by_enumeration(one, arguments.shortly) } else { None };
    let cells = |caught: &Option<hunt::Caught>, with_run: bool| match caught {
        None => ("-".to_owned(), "-".to_owned()),
        Some(caught) => {
            let hunt::Caught { runs, by, violation } = caught;
            let by = if with_run { format!("{violation} ({by})") } else { violation.to_string() };
            (runs.to_string(), by)
        }
    };
    let ((seeds, seed_by), (runs, run_by)) = (cells(&by_seeds, false), cells(&enumerated, true));
    println!("| {} | {} | {seeds} | {seed_by} | {runs} | {run_by} |", one.name, one.of);
    by_seeds.is_some() || enumerated.is_some()
}
