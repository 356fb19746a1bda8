//! Follows a request: looks for it, and goes on looking while it runs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use millstream_control::restate::Restate;
use millstream_pipeline::codec::{Codec, RegistryError};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::{Declaration, DlqStatus, Topic};
use millstream_pipeline::kafka;
use millstream_pipeline::program;
use millstream_pipeline::record::partition;
use rdkafka::ClientConfig;
use tokio_util::sync::CancellationToken;

use crate::asked::{Asked, made_ms};
use crate::begin::Anchor;
use crate::decode::{Decoder, belongs};
use crate::delivery;
use crate::found::{Found, Place};
use crate::journey::{Journey, Searched};
use crate::restate;
use crate::search::{Hit, Scanner, SearchError, Slice, Stretch, Topics};
use crate::tree::{self, PendingTimer, Roles, is_settled, judge};
use crate::wanted::Wanted;

/// Records may be older than the id that they have: clocks differ.
const MARGIN_MS: i64 = 30_000;
/// The first stretch of time that is looked at; each further one is so many times longer.
const FIRST_MS: i64 = 60_000;
const LONGER: i64 = 2;
/// So far back is looked where no id tells a time.
const BACK_MS: i64 = 60 * 60 * 1000;
/// So long is looked for what may come after a request of which nothing is unfinished.
const PATIENCE: Duration = Duration::from_secs(3);
/// So many records more are read at once in any case.
const FEW: i64 = 100_000;
/// So often all is read once more because of ids that were not known.
const MAX_RESCANS: usize = 5;
/// So many dead letters are asked about what became of them.
const MAX_MARKS: usize = 50;
/// What is said where more ids belong to it than are looked for.
const NOT_ALL: &str =
    "events of further requests name this one as their cause; not all of them are followed";

/// How to look.
#[derive(Debug, Clone)]
pub struct Options {
    /// From when on, in milliseconds since 1970-01-01 UTC; `None`: as the id tells, else an hour back.
    pub since: Option<i64>,
    /// Whether the fields of events are wanted as well.
    pub content: bool,
    /// Whether to look to the ends of the topics also where nothing is unfinished.
    pub whole: bool,
    /// Prefix of the installation's consumer groups.
    pub prefix: String,
    /// How many threads read.
    pub threads: usize,
}

/// Why a request cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// Kafka is not there, or fails.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// Nobody has declared the topic, or it is not there.
    #[error(
        "there is no topic {topic} among those that are declared here; `{program} status` lists them{similar}"
    )]
    UnknownTopic {
        /// The topic.
        topic: String,
        /// The name of this program.
        program: &'static str,
        /// Others with such a name.
        similar: String,
    },
    /// The registry's address is none.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Restate's address is none.
    #[error(transparent)]
    Restate(#[from] millstream_control::Error),
}

/// Follows one request.
pub struct Follower {
    pub(crate) asked: Asked,
    pub(crate) options: Options,
    pub(crate) declarations: Vec<&'static Declaration>,
    pub(crate) topics: Topics,
    pub(crate) decoder: Decoder,
    pub(crate) wanted: Wanted,
    pub(crate) problems: Vec<String>,
    pub(crate) config: ClientConfig,
    pub(crate) roles: Roles,
    pub(crate) restate: Restate,
    scanner: Option<Scanner>,
    stop: CancellationToken,
    found: BTreeMap<Place, Found>,
    /// What was read of each partition.
    read: BTreeMap<(String, i32), (i64, i64)>,
    pub(crate) searched: Searched,
    has_searched: bool,
    too_many: bool,
    /// Topics on which what was asked for is a key; `None`: nobody has looked.
    key_on: Option<Vec<String>>,
}

impl Follower {
    /// Begins: asks which topics there are. `stop` ends a search.
    pub async fn new(
        endpoints: &Endpoints,
        declarations: &[&'static Declaration],
        asked: Asked,
        options: Options,
        stop: CancellationToken,
    ) -> Result<Self, FollowError> {
        let codec = Codec::new(&endpoints.schema_registry, declarations)?;
        let roles = Roles::of(declarations);
        let mut follower = Self {
            asked,
            decoder: Decoder::new(codec, roles.clone(), options.content),
            options,
            declarations: declarations.to_vec(),
            topics: Topics::default(),
            wanted: Wanted::default(),
            problems: Vec::new(),
            config: kafka::client(&endpoints.kafka),
            roles,
            restate: Restate::new(&endpoints.restate_admin)?,
            scanner: None,
            stop,
            found: BTreeMap::new(),
            read: BTreeMap::new(),
            searched: Searched::default(),
            has_searched: false,
            too_many: false,
            key_on: None,
        };
        let known = follower.declarations.clone();
        follower.topics = follower
            .with_scanner(move |scanner, _| Ok(Topics::ask(scanner.client()?, &known)?))
            .await?;
        Ok(follower)
    }

    /// How the request stands. Asked again, only what is new on the topics is read.
    pub async fn look(&mut self) -> Result<Journey, FollowError> {
        let begun = Instant::now();
        match self.has_searched {
            false => self.search(begun).await?,
            true => self.go_on().await?,
        }
        self.searched.millis += u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.searched.topics = self.topics.partitions.len();
        self.searched.unread.clone_from(&self.topics.unread);
        let partitions = self.topics.partitions.values();
        self.searched.partitions = partitions.map(|it| usize::try_from(*it).unwrap_or(0)).sum();
        self.journey().await
    }

    async fn journey(&mut self) -> Result<Journey, FollowError> {
        let marks = self.marks().await?;
        let mut problems = self.problems.clone();
        let mut journey = self.tree(Vec::new(), &marks);
        if !journey.nodes.is_empty() {
            match restate::timers(&self.restate, &journey, &self.roles).await {
                Ok(timers) if timers.is_empty() => {}
                Ok(timers) => journey = self.tree(timers, &marks),
                Err(error) => problems.push(format!("pending timers are not known: {error}")),
            }
            match self.add_waits(&mut journey).await {
                Ok(()) => {}
                Err(error) => {
                    problems.push(format!("where it waits in Restate is not known: {error}"))
                }
            }
            let asked = {
                let now = jiff::Timestamp::now().as_millisecond();
                delivery::questions(&journey, &self.roles, &self.options.prefix, now)
            };
            let config = self.config.clone();
            let answers = tokio::task::spawn_blocking(move || delivery::ask(&config, asked)).await;
            match answers {
                Ok(Ok(answers)) => delivery::tell(&mut journey, answers),
                Ok(Err(error)) => problems.push(format!(
                    "what Restate has not taken yet is not known: {error}"
                )),
                Err(_) => return Err(SearchError::GivenUp.into()),
            }
        }
        if let Some(away) = &self.decoder.away {
            problems.push(format!("values are not decoded: {away}"));
        }
        if self.wanted.is_cut() && !problems.iter().any(|known| known == NOT_ALL) {
            problems.push(NOT_ALL.into());
        }
        if self.too_many {
            problems.push(
                "more records belong to it than are kept; narrow the search with --since".into(),
            );
        }
        if journey.nodes.is_empty() {
            journey.key_on = self.topics_of_key().await?;
        }
        journey.problems.extend(problems);
        journey.searched = self.searched.clone();
        judge(&mut journey);
        Ok(journey)
    }

    /// People know keys, and ask for them as if they were ids.
    async fn topics_of_key(&mut self) -> Result<Vec<String>, FollowError> {
        let Asked::Id(key) = &self.asked else {
            return Ok(Vec::new());
        };
        if let Some(known) = &self.key_on {
            return Ok(known.clone());
        }
        let key = key.clone();
        let read = self.everything_read();
        let read = read.into_iter();
        let read = read
            .filter(|it| !self.roles.hides_keys(&it.topic))
            .collect();
        let mut hits = self.scan(read, Wanted::key(key.as_bytes())).await?;
        hits.sort_by_key(|hit| hit.found.time);
        let mut topics: Vec<String> = Vec::new();
        for Found { place, letter, .. } in hits.into_iter().map(|hit| hit.found) {
            if letter.is_none() && !topics.contains(&place.topic) {
                topics.push(place.topic);
            }
        }
        Ok(self.key_on.insert(topics).clone())
    }

    fn tree(&self, timers: Vec<PendingTimer>, marks: &BTreeMap<String, String>) -> Journey {
        let found = self.found.values().cloned().collect();
        tree::build(&self.asked.to_string(), found, timers, marks, &self.roles)
    }

    pub(crate) fn add_problem(&mut self, problem: String) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Whether nothing more is to come, also as far as Restate knows; `None`: it does not answer.
    async fn is_over(&mut self) -> Option<bool> {
        let mut journey = self.tree(Vec::new(), &BTreeMap::new());
        if !is_settled(&journey) {
            return Some(false);
        }
        let timers = restate::timers(&self.restate, &journey, &self.roles).await;
        if !timers.ok()?.is_empty() {
            return Some(false);
        }
        self.add_waits(&mut journey).await.ok()?;
        Some(is_settled(&journey))
    }

    /// Looks for it: forward from the time that an id tells, else back from now.
    async fn search(&mut self, begun: Instant) -> Result<(), FollowError> {
        let now = jiff::Timestamp::now().as_millisecond();
        self.problems.clear();
        let Some(anchor) = self.begin(now).await? else {
            return Ok(());
        };
        self.has_searched = true;
        // The request itself may tell when it began, although the event that was asked for did not.
        let made = self
            .wanted
            .ids()
            .iter()
            .filter_map(|id| made_ms(id, now))
            .min();
        let anchor = match (anchor, made) {
            (Anchor::About(time), Some(made)) if made <= time + MARGIN_MS => Anchor::Exactly(made),
            (anchor, _) => anchor,
        };
        match anchor {
            Anchor::Exactly(time) => {
                let from = self.options.since.unwrap_or(time - MARGIN_MS);
                self.forward(from, from.max(time) + FIRST_MS, now, begun)
                    .await
            }
            Anchor::About(time) => {
                let (from, until) = (time - FIRST_MS, time + FIRST_MS);
                self.window(Some(from), Some(until).filter(|until| *until < now))
                    .await?;
                self.back(from, time - BACK_MS, time).await?;
                self.forward(from, until, now, begun).await
            }
            Anchor::Nowhere => {
                let from = now - FIRST_MS;
                self.window(Some(from), None).await?;
                self.back(from, now - BACK_MS, now).await
            }
        }
    }

    /// From a time to the ends of the topics; less, if that would take long and nothing is unfinished.
    async fn forward(
        &mut self,
        from: i64,
        until: i64,
        now: i64,
        begun: Instant,
    ) -> Result<(), FollowError> {
        let (mut until, mut length) = (until, FIRST_MS);
        // Where Restate does not answer, nobody knows whether something is to come.
        let mut may_end = !self.options.whole;
        self.window(Some(from), Some(until).filter(|until| *until < now))
            .await?;
        while until < now {
            length *= LONGER;
            until += length;
            let end = Some(until).filter(|until| *until < now);
            let slices = self.unread(Some(from), end).await?;
            let records: i64 = slices
                .iter()
                .map(|slice| slice.until - slice.from)
                .filter(|it| *it > 0)
                .sum();
            // As fast as until now.
            let expected = begun.elapsed().as_secs_f64() * records as f64
                / self.searched.records.max(1) as f64;
            let is_long = begun.elapsed().as_secs_f64() + expected > PATIENCE.as_secs_f64();
            if is_long && records > FEW && may_end {
                match self.is_over().await {
                    Some(true) => return Ok(()),
                    Some(false) => {}
                    None => may_end = false,
                }
            }
            self.searched.until = end;
            self.gather(slices).await?;
        }
        Ok(())
    }

    /// From a time back to the beginning of the request, or as far as it is looked.
    async fn back(&mut self, from: i64, floor: i64, origin: i64) -> Result<(), FollowError> {
        let floor = self.options.since.unwrap_or(floor);
        let (mut from, mut length) = (from, FIRST_MS);
        while from > floor && !self.has_beginning() {
            length *= LONGER;
            from = floor.max(origin - length);
            self.window_before(from).await?;
        }
        Ok(())
    }

    /// Whether the first event of the request was found: it bears the request's id.
    fn has_beginning(&self) -> bool {
        let is_first = |found: &&Found| {
            found.causation_id.is_none()
                && found.letter.is_none()
                && found.id() == found.correlation_id()
        };
        self.found.values().any(|found| is_first(&found))
    }

    /// Reads on, behind what was read, until a time.
    async fn window(&mut self, from: Option<i64>, until: Option<i64>) -> Result<(), FollowError> {
        let slices = self.unread(from, until).await?;
        let earliest = [self.searched.from, from].into_iter().flatten().min();
        (self.searched.from, self.searched.until) = (earliest, until);
        self.gather(slices).await
    }

    /// What is behind what was read, until a time.
    async fn unread(
        &mut self,
        from: Option<i64>,
        until: Option<i64>,
    ) -> Result<Vec<Slice>, FollowError> {
        let mut slices = self.slices(Stretch { from, until }).await?;
        for slice in &mut slices {
            if let Some((_, behind)) = self.read.get(&(slice.topic.clone(), slice.partition)) {
                slice.from = *behind;
            }
        }
        Ok(slices)
    }

    /// Reads what stands before what was read, from a time on.
    async fn window_before(&mut self, from: i64) -> Result<(), FollowError> {
        let stretch = Stretch {
            from: Some(from),
            until: None,
        };
        let mut slices = self.slices(stretch).await?;
        for slice in &mut slices {
            if let Some((first, _)) = self.read.get(&(slice.topic.clone(), slice.partition)) {
                slice.until = *first;
            }
        }
        self.searched.from = Some(from);
        self.gather(slices).await
    }

    /// Reads what has come since the last look.
    async fn go_on(&mut self) -> Result<(), FollowError> {
        self.window(self.searched.from, None).await
    }

    async fn slices(&mut self, stretch: Stretch) -> Result<Vec<Slice>, FollowError> {
        let topics = self.topics.clone();
        self.with_scanner(move |scanner, _| Ok(topics.slices(scanner.client()?, stretch)?))
            .await
    }

    /// Reads slices, and all that was read before once more when they tell of an id that was not known.
    async fn gather(&mut self, slices: Vec<Slice>) -> Result<(), FollowError> {
        for slice in &slices {
            let read = self.read.entry((slice.topic.clone(), slice.partition));
            let read = read.or_insert((slice.from, slice.from));
            if slice.from < slice.until {
                *read = (read.0.min(slice.from), read.1.max(slice.until));
            }
        }
        let mut slices = slices;
        for _ in 0..=MAX_RESCANS {
            let wanted = self.wanted.clone();
            let hits = self.scan(slices, wanted).await?;
            let mut is_more = false;
            for hit in &hits {
                is_more |= self.take(hit).await;
            }
            if !is_more {
                return Ok(());
            }
            slices = self.everything_read();
        }
        self.add_problem(NOT_ALL.into());
        Ok(())
    }

    fn everything_read(&self) -> Vec<Slice> {
        let all = self.read.iter();
        let all = all.map(|((topic, partition), (from, until))| Slice {
            topic: topic.clone(),
            partition: *partition,
            from: *from,
            until: *until,
        });
        all.collect()
    }

    /// Keeps a record, if it belongs to the request; whether it tells of an id that was not known.
    pub(crate) async fn take(&mut self, hit: &Hit) -> bool {
        if self.found.contains_key(&hit.found.place) {
            return false;
        }
        let (found, _) = self.decoder.found(hit).await;
        if !belongs(&found, self.wanted.ids()) {
            return false;
        }
        let ids = self.wanted.ids();
        let names = |id: &str| ids.iter().any(|known| known == id);
        let (id, place) = (found.id(), found.place.to_string());
        let is_asked_for = names(&id)
            || found.causation_id.as_deref().is_some_and(names)
            || found
                .letter
                .as_ref()
                .is_some_and(|letter| names(&letter.original));
        let mut is_more = is_asked_for && self.wanted.add(&found.correlation_id());
        // A replay of a record without `meta` is another event by its id, and so is what the guard lets
        // through.
        let is_again = found.replay_of.is_some() || found.relayed_from.is_some();
        is_more |= is_again && found.id.is_none() && self.wanted.add(&place);
        self.found.insert(found.place.clone(), found);
        is_more
    }

    pub(crate) async fn scan(
        &mut self,
        slices: Vec<Slice>,
        wanted: Wanted,
    ) -> Result<Vec<Hit>, FollowError> {
        let scanned = self
            .with_scanner(move |scanner, stop| scanner.scan(&slices, &wanted, stop))
            .await?;
        self.searched.records += scanned.records;
        self.searched.bytes += scanned.bytes;
        self.too_many |= scanned.too_many;
        Ok(scanned.hits)
    }

    pub(crate) async fn slices_of(
        &mut self,
        topics: Topics,
        stretch: Stretch,
    ) -> Result<Vec<Slice>, FollowError> {
        self.with_scanner(move |scanner, _| Ok(topics.slices(scanner.client()?, stretch)?))
            .await
    }

    /// What somebody did with the dead letters that were found.
    async fn marks(&mut self) -> Result<BTreeMap<String, String>, FollowError> {
        let letters = self
            .found
            .values()
            .filter_map(|found| Some(found.letter.as_ref()?.original.clone()));
        let mut letters: Vec<String> = letters.collect();
        if letters.len() > MAX_MARKS {
            letters.truncate(MAX_MARKS);
            self.add_problem(format!(
                "what became of dead letters is known of {MAX_MARKS} only; `{} dlq list` has the others",
                program::name()
            ));
        }
        let mut marks = BTreeMap::new();
        let name = DlqStatus::DECLARATION.name;
        if letters.is_empty() {
            return Ok(marks);
        }
        // Somebody may have given it more partitions than are declared.
        let declared = DlqStatus::DECLARATION.partitions;
        let partitions = self.topics.marks.unwrap_or(declared);
        let known = Topics::only(name, partitions);
        let stretch = Stretch {
            from: None,
            until: None,
        };
        let all = match self.slices_of(known, stretch).await {
            Ok(all) => all,
            Err(error) => {
                self.add_problem(format!("what became of dead letters is not known: {error}"));
                return Ok(marks);
            }
        };
        for letter in letters {
            let at = partition::of_key(letter.as_bytes(), partitions);
            let slices = all
                .iter()
                .filter(|slice| slice.partition == at)
                .cloned()
                .collect();
            let hits = self.scan(slices, Wanted::key(letter.as_bytes())).await?;
            if let Some(last) = hits.iter().max_by_key(|hit| hit.found.place.offset) {
                marks.extend(self.decoder.mark(last).await.map(|mark| (letter, mark)));
            }
        }
        Ok(marks)
    }

    /// Runs what blocks in a thread of its own. A search that is given up takes its scanner with it.
    async fn with_scanner<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Scanner, &CancellationToken) -> Result<T, SearchError> + Send + 'static,
    ) -> Result<T, FollowError> {
        let make = || Scanner::new(self.config.clone(), self.options.threads);
        let mut scanner = self.scanner.take().unwrap_or_else(make);
        let stop = self.stop.clone();
        let done = tokio::task::spawn_blocking(move || {
            let result = work(&mut scanner, &stop);
            (scanner, result)
        });
        let (scanner, result) = done.await.map_err(|_| SearchError::GivenUp)?;
        self.scanner = Some(scanner);
        Ok(result?)
    }
}
