//! The service `Ledger`: every call is convert ▸ ask the [`Handle`] ▸ convert back. It
//! decides nothing; it waits where the engine says so and nowhere else.

use crate::budget::{Budget, Room, Rooms};
use crate::convert::explain::Told;
use crate::convert::past::When;
use crate::convert::{
    self, accounts, cursor, events, explained, holds, limits, outcomes, past, profiles, refunds,
    transfers,
};
use crate::deadline::Deadline;
use crate::feed_stream;
use crate::identity::factor::Standing;
use crate::identity::{Caller, checks, danger};
use crate::intake::Intake;
use crate::metrics::Metrics;
use crate::proto;
use crate::rates::{self, Limits};
use crate::receipt::RECEIPT_BYTES_MAX;
use crate::secret_fields::SecretFields;
use crate::servers::ledger_server::Ledger;
use crate::status::{self, Refusal};
use crate::stream::{self, AnswerStream, Draining, StreamOptions};
use crate::wire::Encoded;
use crate::wire_requests::{BatchRequest, StreamRequest, WireRequest};
use ducat_actors::audit;
use ducat_actors::handle::{
    ACCOUNTS_PAGE_MAX, AccountShown, BATCH_MAX, EntriesPage, Handle, HoldState, Judged,
    RequestError,
};
use ducat_actors::history::Moment;
use ducat_engine::ids::{AccountId, Lsn, TransferId};
use ducat_engine::limits::LimitsChange;
use ducat_engine::money::Currencies;
use ducat_engine::profile::Details;
use ducat_engine::transfer::{AccountRejection, AccountSpec, Outcome};
use prost::Message;
use std::sync::Arc;
use tokio::sync::OwnedMutexGuard;
use tonic::{Code, Request, Response, Status, Streaming};

/// Most ids in one `GetTransfers`.
pub const GET_TRANSFERS_MAX: usize = 100;

/// Most ids in one `GetHolds`.
pub const GET_HOLDS_MAX: usize = 100;

/// The service over one engine.
#[derive(Clone)]
pub struct LedgerService {
    handle: Handle,
    streams: StreamOptions,
    draining: Draining,
    answers: Budget,
    guarded: bool,
    limits: Option<Arc<Limits>>,
    metrics: Option<Arc<Metrics>>,
    secrets: Option<Arc<SecretFields>>,
}

impl LedgerService {
    /// The service over this engine. Streams end when `draining` says so, and the memory of
    /// answers is taken from `answers`.
    #[must_use]
    pub const fn new(
        handle: Handle,
        streams: StreamOptions,
        draining: Draining,
        answers: Budget,
    ) -> Self {
        let (limits, metrics, secrets) = (None, None, None);
        Self { handle, streams, draining, answers, guarded: false, limits, metrics, secrets }
    }

    /// The same, behind a guard that says of every call who makes it.
    #[must_use]
    pub fn guarded(self, guarded: bool) -> Self {
        Self { guarded, ..self }
    }

    /// The same, with rates for everybody.
    #[must_use]
    pub fn limited_by(self, limits: Option<Arc<Limits>>) -> Self {
        Self { limits, ..self }
    }

    /// The same, with somebody who counts batches.
    #[must_use]
    pub fn measured_by(self, metrics: Option<Arc<Metrics>>) -> Self {
        Self { metrics, ..self }
    }

    /// The same, with fields whose values are secret.
    #[must_use]
    pub fn keeping_secret(self, secrets: Option<Arc<SecretFields>>) -> Self {
        Self { secrets, ..self }
    }

    pub(crate) const fn secrets(&self) -> Option<&Arc<SecretFields>> {
        self.secrets.as_ref()
    }

    /// A writer of answers, which shows what is secret masked.
    fn writer<'a>(&'a self, currencies: &'a Currencies) -> accounts::Writer<'a> {
        accounts::Writer::new(currencies).masking(self.secrets.as_deref())
    }

    pub(crate) fn count(&self, outcomes: &[Outcome]) {
        if let Some(metrics) = &self.metrics {
            metrics.batch(outcomes);
        }
    }

    /// Before they are submitted, so that what is refused for the load is seen too.
    fn sample(&self, asked: &[WireRequest]) {
        if let Some(metrics) = &self.metrics {
            metrics.sample(asked);
        }
    }

    pub(crate) fn limits(&self) -> Option<&Limits> {
        self.limits.as_deref()
    }

    /// Who makes the call.
    fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        Caller::of(request, self.guarded)
    }

    /// Changes limits in this turn, which lasts until it is done, whether anybody waits for it or not: whoever
    /// judges next must see it.
    async fn change_limits(
        &self,
        turn: Option<OwnedMutexGuard<()>>,
        id: AccountId,
        change: LimitsChange,
    ) -> Result<Result<AccountShown, AccountRejection>, Status> {
        let handle = self.handle.clone();
        let work = async move {
            let _turn = turn;
            handle.change_limits(id, change).await
        };
        let done = match audit::current() {
            Some(seed) => tokio::spawn(audit::scope(seed, work)),
            None => tokio::spawn(work),
        };
        let done = done.await.map_err(|_| status::internal("a change of limits panicked"))?;
        done.map_err(status::request)
    }

    pub(crate) const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// A page of entries in the order of value dates.
    async fn entries_by_value(
        &self,
        id: AccountId,
        request: &proto::ListEntriesRequest,
    ) -> Result<Response<proto::ListEntriesResponse>, Status> {
        let query = past::value_statement(id, request)?;
        let room = self.read_room(query.limit * item::ENTRY).await?;
        let page = self.handle.statement_by_value(id, query).await.map_err(status::request)?;
        let page = page.ok_or_else(|| account_unknown(id))?;
        let next = page.next.map(|at| cursor::entries_by_value(id, query.earliest_first, at));
        let page = EntriesPage { entries: page.entries, next: None, currency: page.currency };
        let currencies = self.handle.currencies();
        let mut writer = accounts::Writer::new(&currencies);
        Ok(answered(writer.entries(&page, next.unwrap_or_default()), room))
    }

    /// Room for an answer, before anything is done for it.
    pub(crate) async fn room(&self, bytes: usize) -> Result<Room, Status> {
        let wait = self.streams.room_timeout;
        let room = self.answers.answer_room(bytes, wait).await;
        room.ok_or_else(|| Refusal::no_answer_room(wait).into())
    }

    /// The same for what is read for the caller, which takes a place as well where it is large.
    pub(crate) async fn read_room(&self, bytes: usize) -> Result<Room, Status> {
        let wait = self.streams.room_timeout;
        let room = self.answers.read_room(bytes, wait).await;
        room.ok_or_else(|| Refusal::no_answer_room(wait).into())
    }

    /// Room for accounts and their texts, instead of the room of `base` bytes that was taken
    /// before the texts were known.
    async fn with_texts<'a>(
        &self,
        room: Room,
        base: usize,
        accounts: impl Iterator<Item = &'a AccountShown>,
    ) -> Result<Room, Status> {
        let details = accounts.filter_map(|shown| shown.details.as_deref());
        let bytes: usize = details.map(Details::text_bytes).sum();
        if bytes > ANSWER_TEXT_BYTES_MAX {
            let sentence = format!(
                "what is known of these accounts has {bytes} bytes, more than fit one answer; \
                 ask for fewer at a time"
            );
            return Err(Refusal::new(Code::OutOfRange, "ANSWER_TOO_LARGE", sentence).into());
        }
        if bytes == 0 {
            return Ok(room);
        }
        drop(room);
        self.read_room(base + 2 * bytes).await
    }

    /// An account after a change, or why it was not changed.
    fn changed(
        &self,
        id: AccountId,
        shown: Result<AccountShown, AccountRejection>,
    ) -> Result<proto::Account, Status> {
        let shown = shown.map_err(|rejection| status::account(id, rejection))?;
        Ok(self.writer(&self.handle.currencies()).shown(&shown))
    }
}

impl LedgerService {
    /// What would become of one request.
    async fn dry_transfer(
        &self,
        caller: &Caller,
        asked: WireRequest,
        currencies: &Currencies,
    ) -> Result<Response<proto::TransferResponse>, Status> {
        let batch = vec![transfers::single(&asked, currencies)?];
        let permit = checks::requests(&self.handle, caller, &batch).await?;
        let mut judged = self.handle.dry_run(batch).await.map_err(status::request)?;
        permit.hide(&mut judged.answers.outcomes);
        let outcome = outcomes::dry(&judged.answers, &[asked], currencies).pop();
        Ok(Response::new(proto::TransferResponse { outcome }))
    }

    /// What would become of a definition, as far as the assets that are durable tell.
    fn dry_asset(
        &self,
        code: &str,
        digits: u32,
    ) -> Result<Response<proto::DefineAssetResponse>, Status> {
        let mut currencies = Currencies::clone(&self.handle.currencies());
        let before = currencies.own().len();
        let asset = currencies.define(code, digits).map_err(|error| status::asset(&error))?;
        let (digits, created) = (u32::from(asset.digits), currencies.own().len() > before);
        let code = asset.code;
        Ok(Response::new(proto::DefineAssetResponse { code, digits, created, dry_run: true }))
    }
}

/// How an account would stand, or why not, and the event as of which that was judged.
pub(crate) type Tried = (Result<AccountShown, AccountRejection>, u64);

pub(crate) fn tried(
    judged: Result<Judged<Result<AccountShown, AccountRejection>>, RequestError>,
) -> Result<Tried, Status> {
    let judged = judged.map_err(status::request)?;
    Ok((judged.what, judged.as_of.0))
}

/// Most bytes of texts in an answer: half of the largest answer there is.
const ANSWER_TEXT_BYTES_MAX: usize = crate::server::RESPONSE_BYTES_MAX / 2;

/// The answer, with the room that its bytes need until they are sent. A message is encoded
/// into a buffer that doubles as it grows.
pub(crate) fn answered<T: Message>(message: T, room: Room) -> Response<T> {
    let bytes = 2 * message.encoded_len();
    with_room(message, room, bytes)
}

fn with_room<T>(message: T, mut room: Room, bytes: usize) -> Response<T> {
    room.keep(bytes);
    let mut response = Response::new(message);
    response.extensions_mut().insert(Rooms::of(room));
    response
}

fn account_unknown(id: AccountId) -> Status {
    let sentence = format!("no account has the id {id}");
    Refusal::new(Code::NotFound, "ACCOUNT_UNKNOWN", sentence).into()
}

/// Memory of one item of an answer while it is made, roughly: the engine's figures, the
/// message with its texts, its bytes.
mod item {
    pub const ACCOUNT_RESULT: usize = 384;
    pub const ACCOUNT: usize = 640;
    pub const TRANSFER: usize = 768;
    pub const ENTRY: usize = 1024;
    pub const HISTORY: usize = 8 * 1024;
    pub const HOLD: usize = 640;
    pub const REFUND: usize = 384;
}

#[tonic::async_trait]
impl Ledger for LedgerService {
    async fn define_asset(
        &self,
        request: Request<proto::DefineAssetRequest>,
    ) -> Result<Response<proto::DefineAssetResponse>, Status> {
        let proto::DefineAssetRequest { code, digits, dry_run } = request.into_inner();
        convert::check_asset_code(&code)?;
        if dry_run {
            return self.dry_asset(&code, digits);
        }
        let defined = self.handle.define_asset(code, digits).await.map_err(status::request)?;
        let (asset, created) = defined.map_err(|error| status::asset(&error))?;
        let digits = u32::from(asset.digits);
        Ok(Response::new(proto::DefineAssetResponse {
            code: asset.code,
            digits,
            created,
            dry_run: false,
        }))
    }

    async fn create_accounts(
        &self,
        request: Request<proto::CreateAccountsRequest>,
    ) -> Result<Response<proto::CreateAccountsResponse>, Status> {
        let (caller, standing) = (self.caller(&request)?, Standing::of(&request));
        let mut request = request.into_inner();
        let mut openings = accounts::openings(&request.accounts, &self.handle.currencies())?;
        for opening in &openings {
            checks::opening(&caller, opening.spec.id, &opening.profile.owner)?;
        }
        self.seal_openings(standing.as_ref(), &mut request.accounts, &mut openings)?;
        if !request.dry_run {
            let bytes = || request.encode_to_vec();
            danger::openings(&self.handle, standing.as_ref(), &openings, bytes)?;
        }
        let room = self.room(openings.len() * item::ACCOUNT_RESULT).await?;
        let specs: Vec<AccountSpec> = openings.iter().map(|opening| opening.spec).collect();
        let secret = self.with_secrets(&openings);
        let (mut outcomes, dry_run_lsn) = if request.dry_run {
            let judged = self.handle.dry_run_openings(&openings).await.map_err(status::request)?;
            (judged.what, judged.as_of.0)
        } else {
            (self.handle.open_accounts(openings).await.map_err(status::request)?, 0)
        };
        self.recognise_repeats(&secret, &mut outcomes).await?;
        let results = specs.iter().zip(outcomes).map(|(spec, outcome)| {
            accounts::result(spec, outcome)
                .ok_or_else(|| status::internal("an account was refused after it was checked"))
        });
        let results = results.collect::<Result<_, _>>()?;
        Ok(answered(proto::CreateAccountsResponse { results, dry_run_lsn }, room))
    }

    async fn get_accounts(
        &self,
        request: Request<proto::GetAccountsRequest>,
    ) -> Result<Response<proto::GetAccountsResponse>, Status> {
        let caller = self.caller(&request)?;
        let asked = request.into_inner().ids;
        let ids = convert::account_ids(&asked, BATCH_MAX)?;
        checks::accounts(&self.handle, &caller, &ids).await?;
        let room = self.read_room(ids.len() * item::ACCOUNT).await?;
        let at = self.handle.accounts(ids).await.map_err(status::request)?;
        let base = at.accounts.len() * item::ACCOUNT;
        let room = self.with_texts(room, base, at.accounts.iter().flatten()).await?;
        let currencies = self.handle.currencies();
        let mut writer = self.writer(&currencies);
        let mut answer = proto::GetAccountsResponse { lsn: at.lsn.0, ..Default::default() };
        for (id, shown) in asked.into_iter().zip(&at.accounts) {
            match shown {
                Some(shown) => answer.accounts.push(writer.shown(shown)),
                None => answer.unknown.push(id),
            }
        }
        Ok(answered(answer, room))
    }

    async fn list_accounts(
        &self,
        request: Request<proto::ListAccountsRequest>,
    ) -> Result<Response<proto::ListAccountsResponse>, Status> {
        let caller = self.caller(&request)?;
        let request = request.into_inner();
        let size = convert::page_size(request.page_size, ACCOUNTS_PAGE_MAX, BATCH_MAX)?;
        let size = size.min(ACCOUNTS_PAGE_MAX);
        let currencies = self.handle.currencies();
        let filter = profiles::filter(request.filter, &currencies)?;
        if let Some(secrets) = &self.secrets {
            secrets.check_filter(&filter.metadata)?;
        }
        match filter.owner.as_deref() {
            Some(owner) => checks::owner(&caller, owner)?,
            None => checks::whole(&caller, "a list of all accounts, without an owner,")?,
        }
        let from = cursor::read_accounts(&filter, &request.cursor)?;
        let room = self.read_room(size * item::ACCOUNT).await?;
        let page = self.handle.list_accounts(filter.clone(), from, size).await;
        let page = page.map_err(status::request)?;
        let base = size * item::ACCOUNT;
        let room = self.with_texts(room, base, page.accounts.iter()).await?;
        let currencies = self.handle.currencies();
        let mut writer = self.writer(&currencies);
        let answer = proto::ListAccountsResponse {
            accounts: page.accounts.iter().map(|shown| writer.shown(shown)).collect(),
            next_cursor: page.next.map(|n| cursor::accounts(&filter, n)).unwrap_or_default(),
            lsn: page.lsn.0,
        };
        Ok(answered(answer, room))
    }

    async fn set_account_status(
        &self,
        request: Request<proto::SetAccountStatusRequest>,
    ) -> Result<Response<proto::SetAccountStatusResponse>, Status> {
        let caller = self.caller(&request)?;
        let request = request.into_inner();
        let id = convert::account_id(request.id_high, request.id)?;
        checks::accounts(&self.handle, &caller, &[id]).await?;
        let wanted = accounts::status_from_proto(request.status)?;
        let reason = profiles::reason(request.reason)?;
        let (shown, dry_run_lsn) = if request.dry_run {
            tried(self.handle.dry_run_status(id, wanted, reason).await)?
        } else {
            (self.handle.set_status(id, wanted, reason).await.map_err(status::request)?, 0)
        };
        let account = Some(self.changed(id, shown)?);
        Ok(Response::new(proto::SetAccountStatusResponse { account, dry_run_lsn }))
    }

    async fn update_account(
        &self,
        request: Request<proto::UpdateAccountRequest>,
    ) -> Result<Response<proto::UpdateAccountResponse>, Status> {
        let (caller, standing) = (self.caller(&request)?, Standing::of(&request));
        let request = request.into_inner();
        let id = convert::account_id(request.id_high, request.id)?;
        checks::accounts(&self.handle, &caller, &[id]).await?;
        if let Some(owner) = &request.owner {
            checks::opening(&caller, id, owner)?;
            if !request.dry_run {
                danger::owner(standing.as_ref())?;
            }
        }
        let dry_run = request.dry_run;
        let mut change = profiles::change(request)?;
        self.seal_change(id, &mut change).await?;
        let (shown, dry_run_lsn) = if dry_run {
            tried(self.handle.dry_run_profile(id, change).await)?
        } else {
            (self.handle.change_profile(id, change).await.map_err(status::request)?, 0)
        };
        let account = Some(self.changed(id, shown)?);
        Ok(Response::new(proto::UpdateAccountResponse { account, dry_run_lsn }))
    }

    async fn set_account_limits(
        &self,
        request: Request<proto::SetAccountLimitsRequest>,
    ) -> Result<Response<proto::SetAccountLimitsResponse>, Status> {
        let (caller, standing) = (self.caller(&request)?, Standing::of(&request));
        let request = request.into_inner();
        let id = convert::account_id(request.id_high, request.id)?;
        checks::accounts(&self.handle, &caller, &[id]).await?;
        let turn = match &standing {
            Some(standing) if !request.dry_run => Some(standing.turn_of_limits().await),
            _ => None,
        };
        // What it holds never changes, so it may be asked before.
        let at = self.handle.accounts(vec![id]).await.map_err(status::request)?;
        let shown = at.accounts.into_iter().next().flatten();
        let shown = shown.ok_or_else(|| status::account(id, AccountRejection::Unknown))?;
        let currency = limits::currency_of(&shown, &self.handle.currencies())
            .ok_or_else(|| status::internal("an account's currency is unknown"))?;
        let change = limits::change(&request, &currency)?;
        if !request.dry_run {
            let bytes = || request.encode_to_vec();
            danger::limits(&self.handle, standing.as_ref(), &shown, &change, bytes)?;
        }
        let (shown, dry_run_lsn) = if request.dry_run {
            tried(self.handle.dry_run_limits(id, change).await)?
        } else {
            (self.change_limits(turn, id, change).await?, 0)
        };
        let account = Some(self.changed(id, shown)?);
        Ok(Response::new(proto::SetAccountLimitsResponse { account, dry_run_lsn }))
    }

    async fn explain(
        &self,
        request: Request<proto::ExplainRequest>,
    ) -> Result<Response<proto::ExplainResponse>, Status> {
        let proto::ExplainRequest { id, id_high, lsn } = request.into_inner();
        let lsn = (lsn > 0).then_some(Lsn(lsn));
        let id = match TransferId::from_halves(id_high, id) {
            Err(_) if lsn.is_some() => None,
            _ => Some(convert::transfer_id(id_high, id)?),
        };
        let room = self.room(2 * item::TRANSFER).await?;
        let found = self.handle.explain(id, lsn).await.map_err(status::request)?;
        let answer = found.and_then(|e| explained::answer(&e, &self.handle.currencies()));
        let answer = answer.ok_or_else(|| {
            let sentence = "no such request is known: it was never decided, or so long ago that its \
                            id is not remembered (name its LSN)";
            Refusal::new(Code::NotFound, "REQUEST_UNKNOWN", sentence.to_owned())
        })?;
        Ok(answered(answer, room))
    }

    async fn add_watch(
        &self,
        request: Request<proto::AddWatchRequest>,
    ) -> Result<Response<proto::AddWatchResponse>, Status> {
        let caller = self.caller(&request)?;
        self.add_one_watch(&caller, request.into_inner()).await.map(Response::new)
    }

    async fn remove_watch(
        &self,
        request: Request<proto::RemoveWatchRequest>,
    ) -> Result<Response<proto::RemoveWatchResponse>, Status> {
        let caller = self.caller(&request)?;
        self.remove_one_watch(&caller, request.into_inner()).await.map(Response::new)
    }

    async fn list_watches(
        &self,
        request: Request<proto::ListWatchesRequest>,
    ) -> Result<Response<proto::ListWatchesResponse>, Status> {
        let caller = self.caller(&request)?;
        self.watches_of(&caller, request.into_inner()).await.map(Response::new)
    }

    async fn list_account_history(
        &self,
        request: Request<proto::ListAccountHistoryRequest>,
    ) -> Result<Response<proto::ListAccountHistoryResponse>, Status> {
        let caller = self.caller(&request)?;
        let request = request.into_inner();
        let id = convert::account_id(request.id_high, request.id)?;
        checks::accounts(&self.handle, &caller, &[id]).await?;
        let size = convert::page_size(request.page_size, 100, 1000)?;
        let from = cursor::read_history(id, &request.cursor)?;
        let room = self.read_room(size * item::HISTORY).await?;
        let page = self.handle.history(id, from, size).await.map_err(status::request)?;
        let page = page.ok_or_else(|| status::account(id, AccountRejection::Unknown))?;
        let next = page.next.map(|lsn| cursor::history(id, lsn)).unwrap_or_default();
        let currencies = self.handle.currencies();
        Ok(answered(self.writer(&currencies).history(id, page, next), room))
    }

    async fn reveal_metadata(
        &self,
        request: Request<proto::RevealMetadataRequest>,
    ) -> Result<Response<proto::RevealMetadataResponse>, Status> {
        let caller = self.caller(&request)?;
        let audit = request.extensions().get::<crate::audit::Call>().cloned();
        self.reveal(&caller, audit, request.get_ref()).await.map(Response::new)
    }

    async fn transfer(
        &self,
        request: Request<proto::TransferRequest>,
    ) -> Result<Response<proto::TransferResponse>, Status> {
        let deadline = Deadline::of(&request);
        let (caller, standing) = (self.caller(&request)?, Standing::of(&request));
        let currencies = self.handle.currencies();
        let mut message = request.into_inner();
        let dry_run = std::mem::take(&mut message.dry_run);
        let asked = WireRequest::from(message);
        if dry_run {
            return self.dry_transfer(&caller, asked, &currencies).await;
        }
        let wire = asked;
        let asked = transfers::single(&wire, &currencies)?;
        let batch = vec![asked.clone()];
        let permit = checks::requests(&self.handle, &caller, &batch).await?;
        let bytes = || proto::TransferRequest::from(wire.clone()).encode_to_vec();
        danger::batch(&self.handle, standing.as_ref(), &batch, bytes).await?;
        self.sample(std::slice::from_ref(&wire));
        let pending = self.handle.submit_owned(batch, deadline, permit.owners());
        let pending = pending.map_err(status::request)?;
        let mut answers = pending.answers().await.map_err(status::request)?;
        self.count(&answers.outcomes);
        permit.hide(&mut answers.outcomes);
        let outcome = answers
            .outcomes
            .first()
            .ok_or_else(|| status::internal("a transfer was left without an outcome"))?;
        let (hold, refund, terms) = (answers.hold(0), answers.refund(0), answers.terms(0));
        let told = Told { hold, refund, terms, fee: answers.fee(0) };
        let outcome = Some(outcomes::one(outcome, told, &asked, &currencies));
        Ok(Response::new(proto::TransferResponse { outcome }))
    }

    async fn create_transfers(
        &self,
        request: Request<BatchRequest>,
    ) -> Result<Response<Encoded>, Status> {
        let deadline = Deadline::of(&request);
        let (caller, standing) = (self.caller(&request)?, Standing::of(&request));
        let BatchRequest { transfers: asked, dry_run } = request.into_inner();
        if let Some(limits) = &self.limits {
            limits.take(Some(&caller), rates::BATCH, asked.len())?;
        }
        let currencies = self.handle.currencies();
        let batch = transfers::batch(&asked, &currencies)?;
        let permit = checks::requests(&self.handle, &caller, &batch).await?;
        let room = self.room(outcomes::batch_bytes(&batch)).await?;
        if dry_run {
            let mut judged = self.handle.dry_run(batch).await.map_err(status::request)?;
            permit.hide(&mut judged.answers.outcomes);
            let outcomes = outcomes::dry(&judged.answers, &asked, &currencies);
            let answer = Encoded::of(&proto::CreateTransfersResponse { outcomes });
            let bytes = answer.as_bytes().len();
            return Ok(with_room(answer, room, bytes));
        }
        let bytes = || {
            let transfers = asked.iter().cloned().map(proto::TransferRequest::from).collect();
            proto::CreateTransfersRequest { transfers, dry_run: false }.encode_to_vec()
        };
        danger::batch(&self.handle, standing.as_ref(), &batch, bytes).await?;
        self.sample(&asked);
        let pending = self.handle.submit_owned(batch, deadline, permit.owners());
        let pending = pending.map_err(status::request)?;
        let mut answers = pending.answers().await.map_err(status::request)?;
        self.count(&answers.outcomes);
        permit.hide(&mut answers.outcomes);
        if answers.outcomes.len() != asked.len() {
            return Err(status::internal("a batch got another number of outcomes"));
        }
        let answer = outcomes::unary_answer(&answers, &asked, &currencies);
        let bytes = answer.as_bytes().len();
        Ok(with_room(answer, room, bytes))
    }

    type StreamTransfersStream = AnswerStream;

    async fn stream_transfers(
        &self,
        request: Request<Streaming<StreamRequest>>,
    ) -> Result<Response<AnswerStream>, Status> {
        let deadline = Deadline::of(&request);
        let (caller, standing) = (self.caller(&request)?, Standing::of(&request));
        let intake = Intake::of(&request, self.streams.room_timeout);
        let audit = request.extensions().get::<crate::audit::Call>().cloned();
        let trace = request.extensions().get::<crate::traces::Call>().cloned();
        let batches = request.into_inner();
        let limits = self.limits.clone();
        let requests =
            stream::Requests { batches, deadline, intake, caller, standing, limits, audit, trace };
        let metrics = self.metrics.clone();
        let answers = stream::start(
            self.handle.clone(),
            requests,
            self.streams.clone(),
            self.draining.clone(),
            self.answers.of_this_call(),
            metrics,
        );
        let rooms = answers.rooms();
        let mut response = Response::new(answers);
        response.extensions_mut().insert(rooms);
        Ok(response)
    }

    async fn get_transfers(
        &self,
        request: Request<proto::GetTransfersRequest>,
    ) -> Result<Response<proto::GetTransfersResponse>, Status> {
        let caller = self.caller(&request)?;
        let asked = request.into_inner().ids;
        let ids = convert::transfer_ids(&asked, GET_TRANSFERS_MAX)?;
        let room = self.read_room(ids.len() * item::TRANSFER).await?;
        let mut stored = self.handle.requests(ids).await.map_err(status::request)?;
        checks::hide_foreign(&self.handle, &caller, &mut stored).await?;
        let currencies = self.handle.currencies();
        let mut answer = proto::GetTransfersResponse::default();
        for (id, stored) in asked.into_iter().zip(&stored) {
            match stored {
                Some(known) => {
                    answer.transfers.push(transfers::record_to_proto(known, &currencies));
                }
                None => answer.unknown.push(id),
            }
        }
        Ok(answered(answer, room))
    }

    async fn get_receipt(
        &self,
        request: Request<proto::GetReceiptRequest>,
    ) -> Result<Response<proto::GetReceiptResponse>, Status> {
        let asked = request.into_inner();
        let unknown = |what: String| {
            let sentence = format!("{what} is not known");
            Status::from(Refusal::new(Code::NotFound, "EVENT_UNKNOWN", sentence))
        };
        let lsn = if asked.lsn > 0 && asked.id == 0 && asked.id_high == 0 {
            Lsn(asked.lsn)
        } else {
            let ids = [proto::Id { id: asked.id, id_high: asked.id_high }];
            let [id] = convert::transfer_ids(&ids, 1)?[..] else {
                return Err(unknown("the transfer".to_owned()));
            };
            let found = self.handle.event_of(id).await.map_err(status::request)?;
            found.ok_or_else(|| unknown(format!("transfer {id}")))?
        };
        let room = self.read_room(RECEIPT_BYTES_MAX).await?;
        let proved = self.handle.receipt(lsn).await.map_err(status::request)?;
        let proved = proved.ok_or_else(|| unknown(format!("event {lsn}")))?;
        let receipt = crate::receipt::to_text(&proved).map_err(|error| {
            let failed = RequestError::ReadFailed(error.to_string());
            status::request(failed)
        })?;
        Ok(answered(proto::GetReceiptResponse { receipt, lsn: lsn.0 }, room))
    }

    async fn list_entries(
        &self,
        request: Request<proto::ListEntriesRequest>,
    ) -> Result<Response<proto::ListEntriesResponse>, Status> {
        let caller = self.caller(&request)?;
        let request = request.into_inner();
        let id = convert::account_id(request.id_high, request.id)?;
        checks::accounts(&self.handle, &caller, &[id]).await?;
        if request.by_value {
            return self.entries_by_value(id, &request).await;
        }
        let query = past::statement(id, &request)?;
        let room = self.read_room(query.limit * item::ENTRY).await?;
        let page = self.handle.statement(id, query).await.map_err(status::request)?;
        let page = page.ok_or_else(|| account_unknown(id))?;
        let next = page.next.map(|lsn| cursor::entries(id, query.oldest_first, lsn));
        let next = next.unwrap_or_default();
        let currencies = self.handle.currencies();
        Ok(answered(accounts::Writer::new(&currencies).entries(&page, next), room))
    }

    async fn get_holds(
        &self,
        request: Request<proto::GetHoldsRequest>,
    ) -> Result<Response<proto::GetHoldsResponse>, Status> {
        let caller = self.caller(&request)?;
        let asked = request.into_inner().ids;
        let ids = convert::transfer_ids(&asked, GET_HOLDS_MAX)?;
        let room = self.read_room(ids.len() * item::HOLD).await?;
        let mut at = self.handle.holds(ids.clone()).await.map_err(status::request)?;
        checks::hide_foreign_holds(&self.handle, &caller, &ids, &mut at.holds).await?;
        let closed = ids.iter().zip(&at.holds).filter_map(|(id, state)| match state {
            Some(HoldState::Closed(_)) => Some(*id),
            _ => None,
        });
        // Of a closed hold only how it ended is in memory; the rest is in the journal.
        let placed = match closed.collect::<Vec<_>>() {
            none if none.is_empty() => Vec::new(),
            some => self.handle.requests(some).await.map_err(status::request)?,
        };
        let mut placed = placed.into_iter();
        let currencies = self.handle.currencies();
        let mut answer = proto::GetHoldsResponse { lsn: at.lsn.0, ..Default::default() };
        for (id, state) in asked.into_iter().zip(&at.holds) {
            let hold = match state {
                Some(HoldState::Open(view)) => Some(holds::open(view, &currencies)),
                Some(HoldState::Closed(closed)) => {
                    placed.next().flatten().and_then(|p| holds::closed(&p, *closed, &currencies))
                }
                None => None,
            };
            match hold {
                Some(hold) => answer.holds.push(hold),
                None => answer.unknown.push(id),
            }
        }
        Ok(answered(answer, room))
    }

    async fn list_holds(
        &self,
        request: Request<proto::ListHoldsRequest>,
    ) -> Result<Response<proto::ListHoldsResponse>, Status> {
        let caller = self.caller(&request)?;
        let request = request.into_inner();
        let id = convert::account_id(request.id_high, request.id)?;
        checks::accounts(&self.handle, &caller, &[id]).await?;
        let size = convert::page_size(request.page_size, 100, 1000)?;
        let from = cursor::read_holds(id, &request.cursor)?;
        let room = self.read_room(size * item::HOLD).await?;
        let page = self.handle.list_holds(id, from, size).await.map_err(status::request)?;
        let page = page.ok_or_else(|| account_unknown(id))?;
        let currencies = self.handle.currencies();
        let answer = proto::ListHoldsResponse {
            holds: page.holds.iter().map(|view| holds::open(view, &currencies)).collect(),
            next_cursor: page.next.map(|next| cursor::holds(id, next)).unwrap_or_default(),
            lsn: page.lsn.0,
        };
        Ok(answered(answer, room))
    }

    async fn list_refunds(
        &self,
        request: Request<proto::ListRefundsRequest>,
    ) -> Result<Response<proto::ListRefundsResponse>, Status> {
        let caller = self.caller(&request)?;
        let request = request.into_inner();
        let id = convert::transfer_id(request.id_high, request.id)?;
        let size = convert::page_size(request.page_size, 100, 1000)?;
        let from = cursor::read_refunds(id, &request.cursor)?;
        let at = (request.lsn > 0).then_some(Lsn(request.lsn));
        let room = self.read_room(size * item::REFUND).await?;
        let page = self.handle.refunds_of(id, at, from, size).await.map_err(status::request)?;
        let page = match page {
            Some(page)
                if checks::sees(&self.handle, &caller, [page.debit, page.credit]).await? =>
            {
                page
            }
            _ => {
                let sentence = format!("no transfer {id} that moved money is known");
                return Err(Refusal::new(Code::NotFound, "ORIGINAL_UNKNOWN", sentence).into());
            }
        };
        let answer = refunds::page(id, &page, &self.handle.currencies());
        Ok(answered(answer, room))
    }

    async fn reverse_group(
        &self,
        request: Request<proto::ReverseGroupRequest>,
    ) -> Result<Response<proto::ReverseGroupResponse>, Status> {
        let deadline = Deadline::of(&request);
        let (caller, standing) = (self.caller(&request)?, Standing::of(&request));
        self.reverse_one_group(&caller, standing.as_ref(), deadline, request.into_inner()).await
    }

    type SubscribeStream = AnswerStream;

    async fn subscribe(
        &self,
        request: Request<proto::SubscribeRequest>,
    ) -> Result<Response<AnswerStream>, Status> {
        let deadline = Deadline::of(&request);
        let caller = self.caller(&request)?;
        let subscription = events::subscription(request.get_ref())?;
        let feed = self.handle.subscribe(subscription).await.map_err(status::request)?;
        let answers = feed_stream::start(
            feed,
            self.handle.clone(),
            self.streams.clone(),
            self.draining.clone(),
            self.answers.of_this_call(),
            (deadline, caller),
            self.secrets.clone(),
        );
        let rooms = answers.rooms();
        let mut response = Response::new(answers);
        response.extensions_mut().insert(rooms);
        Ok(response)
    }

    async fn get_balance_at(
        &self,
        request: Request<proto::GetBalanceAtRequest>,
    ) -> Result<Response<proto::GetBalanceAtResponse>, Status> {
        let caller = self.caller(&request)?;
        let request = request.into_inner();
        let id = convert::account_id(request.id_high, request.id)?;
        checks::accounts(&self.handle, &caller, &[id]).await?;
        let when = past::balance_when(&request)?;
        let found = match when {
            When::Booked(moment) => {
                self.handle.balance_at(id, moment.unwrap_or(Moment::Time(u64::MAX))).await
            }
            When::Valued(day, moment) => self.handle.balance_by_value(id, day, moment).await,
        };
        let found = found.map_err(status::request)?.ok_or_else(|| account_unknown(id))?;
        Ok(Response::new(past::balance(&found, when, &self.handle.currencies())))
    }

    async fn get_trial_balance(
        &self,
        request: Request<proto::GetTrialBalanceRequest>,
    ) -> Result<Response<proto::GetTrialBalanceResponse>, Status> {
        let when = past::trial_when(request.get_ref())?;
        let mut draining = self.draining.clone();
        let make = async {
            match when {
                When::Booked(moment) => self.handle.trial_balance(moment).await,
                When::Valued(day, moment) => self.handle.trial_balance_by_value(day, moment).await,
            }
        };
        let made = tokio::select! {
            biased;
            made = make => made.map_err(status::request)?,
            () = draining.begun() => return Err(Refusal::draining().into()),
        };
        Ok(Response::new(past::trial_balance(&made, when, &self.handle.currencies())))
    }
}
