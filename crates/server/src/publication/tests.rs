use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use ca::ports::{Clock, CrlRecord, CrlShard};
use futures_util::future::BoxFuture;
use pki::{Crl, Sha256};

use super::*;
use crate::assembly::Assembly;
use crate::config::{Choices, Config, parse};
use crate::world::SystemClock;

struct World {
    folder: tempfile::TempDir,
    assembly: Assembly,
    clock: Arc<Moved>,
}

/// A clock that goes ahead of the system's, so that CRLs differ in their times, and waits only when it is told to.
#[derive(Debug, Default)]
struct Moved {
    system: SystemClock,
    ahead_seconds: AtomicU64,
    waited_seconds: AtomicU64,
}

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        self.system.now().plus(Duration::from_secs(self.ahead_seconds.load(Ordering::Relaxed)))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.waited_seconds.load(Ordering::Relaxed))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.system.sleep(duration)
    }
}

/// What there is to publish: an issuer and its root, each in two forms, the root's CRL and four shards.
const FILES: u32 = 2 * 2 + 1 + 4;

impl World {
    async fn new(configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = parse(configuration, "cairn.toml").unwrap();
        let config = Config::new(folder.path().join("data"), &file, &Choices::default()).unwrap();
        let world = Self::open(folder, &config).await;
        world.renew().await;
        world
    }

    async fn open(folder: tempfile::TempDir, config: &Config) -> Self {
        let mut assembly = Assembly::open(config).await.unwrap();
        let clock = Arc::new(Moved::default());
        Arc::get_mut(&mut assembly.ca).unwrap().clock = Arc::clone(&clock) as Arc<dyn Clock>;
        Self { folder, assembly, clock }
    }

    /// Makes the CRLs that are due, in another second than those before.
    async fn renew(&self) {
        self.clock.ahead_seconds.fetch_add(2, Ordering::Relaxed);
        self.assembly.ca.renew_crls().await.unwrap();
    }

    fn wait(&self, seconds: u64) {
        self.clock.waited_seconds.fetch_add(seconds, Ordering::Relaxed);
    }

    fn publication(&self) -> Publication {
        let (ca, root_crl) = (Arc::clone(&self.assembly.ca), Arc::clone(&self.assembly.root_crl));
        Publication::new(ca, self.assembly.root.clone(), root_crl, Folder::new(self.folder.path().join("www")))
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join("www").join(path.trim_start_matches('/'))
    }

    fn issuer(&self) -> Sha256 {
        self.assembly.ca.issuers[0].id
    }

    fn shard(&self, shard: u16) -> String {
        urls::crl(&self.issuer(), shard)
    }

    fn published(&self, shard: u16) -> Crl {
        Crl::from_der(&fs::read(self.at(&self.shard(shard))).unwrap()).unwrap()
    }

    async fn last(&self, shard: u16) -> CrlRecord {
        self.assembly.ca.ledger.crl_state(self.issuer(), CrlShard::of_first(shard, 4)).await.unwrap().last.unwrap()
    }

    /// The same CA with a ledger that knows nothing yet.
    async fn behind(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = parse("", "cairn.toml").unwrap();
        let mut config = Config::new(folder.path().join("data"), &file, &Choices::default()).unwrap();
        config.hierarchy = self.folder.path().join("data");
        Self::open(folder, &config).await
    }

    /// Makes it necessary to make this shard's CRL anew: its number counts as used.
    async fn use_number(&self, shard: u16, number: u64) {
        assert!(self.assembly.ca.acknowledge_crl(self.issuer(), shard, number).await.unwrap());
    }
}

#[tokio::test]
async fn folder_has_each_file_under_the_path_of_its_url_and_no_drafts() {
    let world = World::new("").await;
    let publication = world.publication();
    assert_eq!(publication.publish().await.unwrap(), FILES);
    let issuer = &world.assembly.ca.issuers[0];
    for shard in 0..4 {
        let crl = world.published(shard);
        crl.verify_signed_by(issuer.certificate.public_key()).unwrap();
        assert!(crl.distribution_point().unwrap().ends_with(&world.shard(shard)));
    }
    let root = world.assembly.root.public_key().spki_hash();
    assert_eq!(fs::read(world.at(&urls::crl(&root, 0))).unwrap(), world.assembly.root_crl.current().der());
    assert_eq!(fs::read(world.at(&urls::issuer(&issuer.id))).unwrap(), issuer.certificate.der());
    let pem = fs::read_to_string(world.at(&urls::issuer_pem(&issuer.id))).unwrap();
    assert_eq!(pki::pem::decode(&pem).unwrap(), [("CERTIFICATE".to_owned(), issuer.certificate.der().to_vec())]);
    let files = fs::read_dir(world.at("/crl").join(urls::issuer_label(&issuer.id))).unwrap();
    assert!(files.map(|file| file.unwrap().path()).all(|path| path.extension().unwrap() == "crl"));
    assert_eq!(publication.publish().await.unwrap(), 0, "nothing is new");
    assert_eq!(world.publication().publish().await.unwrap(), 0, "nor is it to the next process");
}

#[tokio::test]
async fn certificates_of_other_chains_are_published_too() {
    let world = World::new("[issuer]\nalternate-roots = 1\nchain-length = 2").await;
    world.publication().publish().await.unwrap();
    let issuer = &world.assembly.ca.issuers[0];
    let above = issuer.chain.iter().chain(issuer.alternates.iter().flat_map(|chain| &chain.certificates[1..]));
    let mut roots = 0;
    for certificate in above {
        let path = world.at(&urls::issuer(&certificate.public_key().spki_hash()));
        let published = Certificate::from_der(&fs::read(path).unwrap()).unwrap();
        assert_eq!(published.public_key(), certificate.public_key());
        roots += u32::from(published.subject() == published.issuer());
    }
    assert!(roots >= 2, "{roots} roots");
}

#[tokio::test]
async fn publication_that_failed_is_done_once_it_can_be() {
    let world = World::new("").await;
    let publication = world.publication();
    let www = world.folder.path().join("www");
    fs::write(&www, b"in the way").unwrap();
    publication.publish().await.unwrap_err();
    assert_eq!(publication.oldest(), None);
    assert!(publication.trouble().unwrap().1.contains("/www/"));
    fs::remove_file(&www).unwrap();
    assert_eq!(publication.publish().await.unwrap(), 0, "several failed in a row: a pause");
    world.wait(4);
    assert_eq!(publication.publish().await.unwrap(), FILES);
}

#[tokio::test]
async fn file_that_cannot_be_published_does_not_stop_those_behind_it() {
    let world = World::new("").await;
    let publication = world.publication();
    fs::create_dir_all(world.at(&world.shard(1))).unwrap();
    publication.publish().await.unwrap_err();
    for shard in [0, 2, 3] {
        assert_eq!(world.published(shard).number(), world.last(shard).await.number);
    }
    assert_eq!(publication.failing(), 1);
    let (_, line) = publication.trouble().unwrap();
    assert!(line.starts_with(&world.shard(1)), "{line}");
    fs::remove_dir(world.at(&world.shard(1))).unwrap();
    world.use_number(2, 8).await;
    world.renew().await;
    assert_eq!(publication.publish().await.unwrap(), 1, "the one that failed has its back-off, no other");
    assert_eq!(world.published(2).number(), 9);
    world.wait(4);
    assert_eq!(publication.publish().await.unwrap(), 1);
    assert_eq!(world.published(1).number(), world.last(1).await.number);
    assert!(publication.trouble().is_none());
}

#[tokio::test]
async fn several_that_cannot_be_published_do_not_stop_those_behind_them() {
    let world = World::new("").await;
    let publication = world.publication();
    for shard in 0..3 {
        fs::create_dir_all(world.at(&world.shard(shard))).unwrap();
    }
    publication.publish().await.unwrap_err();
    assert_eq!(publication.failing(), 3);
    assert!(!world.at(&world.shard(3)).exists(), "the place itself seems to be away");
    world.wait(4);
    publication.publish().await.unwrap_err();
    assert_eq!(world.published(3).number(), world.last(3).await.number);
}

#[tokio::test]
async fn crl_whose_parts_are_damaged_leaves_what_is_published_and_the_others_go_on() {
    let world = World::new("").await;
    let publication = world.publication();
    publication.publish().await.unwrap();
    world.use_number(2, 5).await;
    world.renew().await;
    // One that says that it has entries, of which there are none.
    let last = world.last(1).await;
    let damaged = CrlRecord { number: last.number + 1, entries: 1, entry_octets: 37, ..last.clone() };
    assert!(world.assembly.ca.ledger.store_crl(damaged).await.unwrap());
    let error = publication.publish().await.unwrap_err();
    assert!(matches!(error, PublicationError::Store(_)), "{error}");
    assert_eq!(world.published(1).number(), last.number);
    assert_eq!(world.published(2).number(), 6);
    let files = fs::read_dir(world.at(&world.shard(1)).parent().unwrap()).unwrap();
    assert_eq!(files.count(), 4, "no draft is left");
}

#[tokio::test]
async fn older_crl_never_takes_the_place_of_a_newer_one_and_the_next_is_above_both() {
    let ahead = World::new("").await;
    ahead.use_number(3, 40).await;
    ahead.renew().await;
    ahead.publication().publish().await.unwrap();
    assert_eq!(ahead.published(3).number(), 41);

    let behind = ahead.behind().await;
    behind.renew().await;
    assert_eq!(behind.last(3).await.number, 1);
    let file = behind.at(&behind.shard(3));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::copy(ahead.at(&ahead.shard(3)), &file).unwrap();
    let publication = behind.publication();
    let error = publication.publish().await.unwrap_err();
    assert!(matches!(error, PublicationError::Newer { there: 41, ours: 1 }), "{error}");
    assert_eq!(behind.published(3).number(), 41);
    let (_, line) = publication.trouble().unwrap();
    assert!(line.contains("CRL 41 of this CA is there, and the ledger's is 1"), "{line}");

    behind.renew().await;
    assert_eq!(behind.last(3).await.number, 42);
    assert_eq!(publication.publish().await.unwrap(), 1, "without any back-off");
    assert_eq!(behind.published(3).number(), 42);
    assert!(publication.trouble().is_none());
}

#[tokio::test]
async fn number_that_was_used_for_two_crls_is_passed_over() {
    let one = World::new("").await;
    let other = one.behind().await;
    other.renew().await;
    one.publication().publish().await.unwrap();
    for shard in 0..4 {
        let path = other.at(&other.shard(shard));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(one.at(&one.shard(shard)), path).unwrap();
    }
    let publication = other.publication();
    publication.publish().await.unwrap_err();
    other.renew().await;
    for shard in 0..4 {
        assert_eq!(other.last(shard).await.number, 3, "1 was used twice, 2 was passed over");
    }
}

#[tokio::test]
async fn foreign_or_damaged_file_is_replaced_and_uses_no_number_up() {
    let (world, stranger) = (World::new("").await, World::new("").await);
    for shard in 0..4 {
        stranger.use_number(shard, 70).await;
    }
    stranger.renew().await;
    stranger.publication().publish().await.unwrap();
    let publication = world.publication();
    publication.publish().await.unwrap();
    let foreign = fs::read(stranger.at(&stranger.shard(0))).unwrap();
    let mut flipped = fs::read(world.at(&world.shard(1))).unwrap();
    *flipped.last_mut().unwrap() ^= 1;
    let of_another_shard = fs::read(world.at(&world.shard(3))).unwrap();
    for (shard, contents) in [(0, foreign), (1, flipped), (2, of_another_shard), (3, b"no CRL".to_vec())] {
        fs::write(world.at(&world.shard(shard)), contents).unwrap();
    }
    assert_eq!(publication.publish().await.unwrap(), 0, "it is looked again after an hour");
    world.wait(3600);
    assert_eq!(publication.publish().await.unwrap(), 4);
    for shard in 0..4 {
        let crl = world.published(shard);
        crl.verify_signed_by(world.assembly.ca.issuers[0].certificate.public_key()).unwrap();
        assert_eq!((crl.number(), world.last(shard).await.number), (1, 1));
        let state = world.assembly.ca.ledger.crl_state(world.issuer(), CrlShard::of_first(shard, 4)).await.unwrap();
        assert_eq!(state.allocated, 1);
    }
}
