//! What a folder and its ledger make of a configuration.

use std::sync::Arc;

use ca::ports::Clock;
use store::memory::MemoryLedger;

use super::*;
use crate::config::{Choices, parse};
use crate::world::SystemClock;

const AT: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn config(data: &Path, text: &str) -> Config {
    let file = parse(text, "cairn.toml").expect("a configuration");
    Config::new(data.to_owned(), &file, &Choices::default()).expect("a configuration")
}

/// A folder with its ledger.
struct Place {
    folder: tempfile::TempDir,
    ledger: MemoryLedger,
}

impl Place {
    fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        Self { folder: tempfile::tempdir().expect("a folder"), ledger: MemoryLedger::new(clock) }
    }

    fn config(&self, text: &str) -> Config {
        config(self.folder.path(), text)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join(FILE_NAME)
    }

    async fn settled(&self, text: &str) -> Result<CrlScheme, PublishedError> {
        let settled = settle(&self.config(text), &self.ledger, AT).await?;
        assert_eq!(settled.settings.status_url, settled.settings.crls.current().status_url);
        Ok(settled.settings.crls)
    }

    async fn recorded(&self) -> Vec<CrlGeneration> {
        let recorded = self.ledger.crl_generations().await.expect("it reads").into_iter();
        recorded.map(|known| known.generation).collect()
    }
}

fn text(shards: u16, status_url: &str) -> String {
    format!("status-url = \"{status_url}\"\n[crl]\nshards = {shards}")
}

fn numbers(generations: &[CrlGeneration]) -> Vec<(u16, u16, &str)> {
    generations.iter().map(|one| (one.id.0, one.shards, one.status_url.as_str())).collect()
}

#[tokio::test]
async fn what_certificates_say_outlives_a_changed_default() {
    let place = Place::new();
    let first = place.settled("[listen]\nstatus = \"127.0.0.1:1080\"\n[crl]\nshards = 7").await.expect("settled");
    assert_eq!(first.current().since, Some(AT));
    let later = place.settled("[listen]\nstatus = \"127.0.0.1:1081\"").await.expect("settled");
    assert_eq!(later, first, "neither the URL nor the number of shards is configured now");
}

#[tokio::test]
async fn a_command_takes_a_folder_as_it_is() {
    let place = Place::new();
    place.settled(&format!("regime = \"dev\"\n{}", text(7, "http://a.example"))).await.expect("settled");
    let adopted = adopt(place.config("")).expect("adopted");
    assert_eq!((adopted.regime.name(), adopted.settings.status_url.as_str()), ("dev", "http://a.example"));
    let settled = settle(&adopted, &place.ledger, AT).await.expect("nothing differs");
    assert_eq!(numbers(settled.settings.crls.generations()), [(0, 7, "http://a.example")]);
}

#[tokio::test]
async fn a_ca_for_tests_and_one_to_be_trusted_share_no_folder() {
    let place = Place::new();
    place.settled("").await.expect("settled");
    require_regime(&place.config("")).expect("the same");
    let error = require_regime(&place.config("regime = \"dev\"")).expect_err("another regime").to_string();
    assert!(error.contains("regime is dev") && error.contains("published.toml"), "{error}");
}

#[tokio::test]
async fn each_change_is_a_generation_and_going_back_is_none() {
    let place = Place::new();
    let a = "http://a.example";
    let b = "http://b.example";
    place.settled(&text(2, a)).await.expect("settled");
    for (changed, current) in [(text(5, a), 2), (text(5, b), 7), (text(2, a), 0), (text(5, b), 7), (String::new(), 7)] {
        let scheme = place.settled(&changed).await.expect("it may change");
        assert_eq!(scheme.current().id, CrlGenerationId(current), "{changed}");
    }
    let all = [(0, 2, a), (2, 5, a), (7, 5, b)];
    assert_eq!(numbers(place.settled("").await.expect("settled").generations()), all);
    assert_eq!(numbers(&place.recorded().await), all, "the ledger has them, too");
}

#[tokio::test]
async fn a_file_of_one_scheme_is_the_first_generation() {
    let place = Place::new();
    let old = "regime = \"private\"\nstatus-url = \"http://a.example\"\ncrl-shards = 2\n";
    fs::write(place.file(), old).expect("written");
    let scheme = place.settled("").await.expect("it opens");
    assert_eq!(numbers(scheme.generations()), [(0, 2, "http://a.example")]);
    assert_eq!(fs::read_to_string(place.file()).expect("it is there"), old, "nothing has changed");
    let scheme = place.settled("[crl]\nshards = 5").await.expect("it may change");
    assert_eq!(numbers(scheme.generations()), [(0, 2, "http://a.example"), (2, 5, "http://a.example")]);
}

#[tokio::test]
async fn an_older_file_or_ledger_is_completed_from_the_other() {
    let place = Place::new();
    place.settled(&text(2, "http://a.example")).await.expect("settled");
    let older = fs::read(place.file()).expect("it is there");
    let all = place.settled(&text(5, "http://b.example")).await.expect("it may change");
    fs::write(place.file(), older).expect("put back");
    let scheme = place.settled("").await.expect("settled");
    assert_eq!(scheme.generations(), all.generations());
    let restored = Place { ledger: Place::new().ledger, ..place };
    let scheme = restored.settled("").await.expect("settled");
    assert_eq!(scheme.generations(), all.generations());
    assert_eq!(restored.recorded().await, all.generations());
    fs::remove_file(restored.file()).expect("removed");
    let scheme = restored.settled("").await.expect("settled");
    assert_eq!(scheme, all, "the last one counts where none is named");
}

#[tokio::test]
async fn a_file_that_contradicts_its_ledger_is_refused() {
    let (one, other) = (Place::new(), Place::new());
    for (place, shards) in [(&one, 5), (&other, 6)] {
        place.settled(&text(2, "http://a.example")).await.expect("settled");
        place.settled(&text(shards, "http://a.example")).await.expect("it may change");
    }
    fs::copy(other.file(), one.file()).expect("copied");
    let error = one.settled("").await.expect_err("two meanings of shard 2").to_string();
    for part in ["published.toml", "from number 2 on", "6 at", "5 at", "backup"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[tokio::test]
async fn changes_beyond_the_limit_are_refused_with_what_to_do() {
    let place = Place::new();
    for shards in 1..=u16::try_from(CrlScheme::GENERATIONS_MAX).expect("it fits") {
        place.settled(&text(shards, "http://a.example")).await.expect("it may change");
    }
    let error = place.settled(&text(100, "http://b.example")).await.expect_err("too many").to_string();
    for part in ["crl.shards", "status-url", "100 and http://b.example", "31 times", "Put back", "published.toml"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(place.settled(&text(1, "http://a.example")).await.expect("it was so").current().id, CrlGenerationId(0));
}
