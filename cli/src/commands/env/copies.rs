//! Copies of environments: create, override, propose, extend.

mod output;
mod waiting;

use std::process::ExitCode;

use jiff::{Span, Timestamp, tz::TimeZone};
use miette::{IntoDiagnostic, WrapErr, miette};
use seaway_api::environment::{Follow, Image};
use seaway_server::{
    CopyAnswer, CopyRequest, ExtendRequest, Lifetime, OverrideRequest, Overrides, ProposeAnswer,
    ProposeRequest,
};
use serde_json::Value;

use super::output::{Format, Paint, document, print, printable};
use super::{Which, path};
use crate::client::Client;

pub(super) use output::overrides;
pub(super) use waiting::until_gone;

/// Options of `seaway env create`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway env create mycopy --copy-of production
  seaway env create mycopy --copy-of production --only web,catalog --expires 7d
  seaway env create mycopy --copy-of production --dry-run
  seaway env create ahead --copy-of production --follow revision

Nothing is made before everything has been found out that could be wrong with it. The copy runs in
namespaces of its own, and answers at hosts of its own: shop.example.com becomes shop.mycopy.DOMAIN.
It waits until the copy is healthy.")]
pub(super) struct CreateOptions {
    /// Name of the copy
    name: String,
    /// Environment that it is to be a copy of, as NAME or NAMESPACE/NAME
    #[arg(long, value_name = "ENV")]
    copy_of: String,
    /// Only these components
    #[arg(long, value_name = "COMPONENTS", value_delimiter = ',')]
    only: Vec<String>,
    /// What it follows: the releases of what it copies, or the revisions that the stack names
    #[arg(long, value_enum)]
    follow: Option<FollowChoice>,
    /// Release that it is to stay at; `seaway env history` lists those that there were
    #[arg(long, value_name = "RELEASE")]
    release: Option<String>,
    /// After how long, or when, it is deleted: 7d, 12h, 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// Namespace of its Environment [default: your own]
    #[arg(short, long)]
    namespace: Option<String>,
    /// Only print what it would be called, and what it would have
    #[arg(long)]
    dry_run: bool,
    /// Do not wait until it is healthy
    #[arg(long, conflicts_with = "dry_run")]
    no_wait: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// What a copy follows.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum FollowChoice {
    /// The releases of what it copies
    Environment,
    /// The revisions that the stack names
    Revision,
}

/// Options of `seaway env override`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway env override mycopy catalog --revision feature/index
  seaway env override mycopy catalog --revision feature/index --expires 3d --reason 'new index'
  seaway env override mycopy web --image registry.example.com/web=v2
  seaway env override mycopy web -p replicas=2
  seaway env override mycopy catalog --end

A branch is followed: each push to it goes live in this environment, and nowhere else. Everything else
stays as it is.")]
pub(super) struct OverrideOptions {
    #[command(flatten)]
    which: Which,
    /// The component
    component: String,
    /// Branch, which is followed, or a tag or commit
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,
    /// Another repository, which the stack must allow
    #[arg(long, value_name = "URL")]
    repo: Option<String>,
    /// Parameter of a script or chart; the value is JSON, or else a text. Can be repeated
    #[arg(short, long = "parameter", value_name = "KEY=VALUE")]
    parameters: Vec<String>,
    /// Another tag or digest of an image: NAME=TAG or NAME=sha256:…; can be repeated
    #[arg(long = "image", value_name = "NAME=TAG")]
    images: Vec<String>,
    /// After how long, or when, it does not count any more
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// Why; it is shown to everybody
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// End the override of this component
    #[arg(long, conflicts_with_all = ["revision", "repo", "parameters", "images", "expires", "reason"])]
    end: bool,
    /// How to print the overrides that there are then
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Options of `seaway env propose`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway env propose mycopy
  seaway env propose mycopy catalog --message 'Keep the index in memory'

The branch of the override is merged onto the branch that its component follows, and pushed as
seaway/NAMESPACE/NAME/COMPONENT for others to merge. What that would change where is printed. Once what
the environment runs without the override has it, the override ends by itself.")]
pub(super) struct ProposeOptions {
    #[command(flatten)]
    which: Which,
    /// The component [default: that of the only override]
    component: Option<String>,
    /// What the commit says
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Mail address in the commit [default: that of `git config user.email`]
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Options of `seaway env extend`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway env extend mycopy 7d
  seaway env extend mycopy 2030-01-31T12:00:00Z
  seaway env extend mycopy never

The time counts from now on.")]
pub(super) struct ExtendOptions {
    #[command(flatten)]
    which: Which,
    /// After how long, or when, it is deleted; `never` keeps it
    #[arg(value_name = "TIME")]
    until: String,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

pub(super) async fn create(client: &Client, options: &CreateOptions) -> miette::Result<ExitCode> {
    let now = Timestamp::now();
    let request = CopyRequest {
        name: options.name.clone(),
        copy_of: options.copy_of.clone(),
        namespace: options.namespace.clone(),
        components: options.only.clone(),
        follow: options.follow.map(|follow| match follow {
            FollowChoice::Environment => Follow::Environment,
            FollowChoice::Revision => Follow::Revision,
        }),
        release: options.release.clone(),
        expires: options.expires.as_deref().map(|text| time(text, now)).transpose()?,
        dry_run: options.dry_run,
    };
    let answer: CopyAnswer = client.post("/api/v1/environments", &request).await?;
    let waits = !(options.dry_run || options.no_wait);
    print(&match options.output {
        Format::Json | Format::Yaml => document(options.output, &answer)?,
        Format::Name => format!("{}\n", answer.environment),
        Format::Table | Format::Wide => output::copy(&answer),
    })?;
    if !waits {
        return Ok(ExitCode::SUCCESS);
    }
    let good = waiting::until_healthy(client, &answer.environment).await?;
    if good && matches!(options.output, Format::Table | Format::Wide) {
        for link in waiting::links(client, &answer.environment).await? {
            print(&format!("{}\n", printable(&link)))?;
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) async fn deviate(client: &Client, options: &OverrideOptions) -> miette::Result<ExitCode> {
    let now = Timestamp::now();
    let request = OverrideRequest {
        component: options.component.clone(),
        repo: options.repo.clone(),
        revision: options.revision.clone(),
        parameters: options.parameters.iter().map(|text| parameter(text)).collect::<miette::Result<_>>()?,
        images: options.images.iter().map(|text| image(text)).collect::<miette::Result<_>>()?,
        expires: options.expires.as_deref().map(|text| time(text, now)).transpose()?,
        reason: options.reason.clone(),
        remove: options.end,
    };
    let key = options.which.find(client).await?;
    let answer: Overrides = client.post(&path(&key, "/override"), &request).await?;
    print(&match options.output {
        Format::Json | Format::Yaml => document(options.output, &answer.overrides)?,
        Format::Name => {
            answer.overrides.iter().map(|one| format!("{}\n", printable(&one.spec.component))).collect()
        }
        Format::Table | Format::Wide => output::overrides(Paint::for_stdout(), &key, &answer.overrides),
    })?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn propose(client: &Client, options: &ProposeOptions) -> miette::Result<ExitCode> {
    let key = options.which.find(client).await?;
    let request = ProposeRequest {
        component: options.component.clone(),
        message: options.message.clone(),
        email: options.email.clone().or_else(own_email),
    };
    let answer: ProposeAnswer = client.post(&path(&key, "/propose"), &request).await?;
    print(&match options.output {
        Format::Json | Format::Yaml => document(options.output, &answer)?,
        Format::Name => format!("{}\n", printable(&answer.proposed.branch)),
        Format::Table | Format::Wide => output::proposal(Paint::for_stdout(), &answer),
    })?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn extend(client: &Client, options: &ExtendOptions) -> miette::Result<ExitCode> {
    let expires = match options.until.as_str() {
        "never" => None,
        until => Some(time(until, Timestamp::now())?),
    };
    let key = options.which.find(client).await?;
    let answer: Lifetime = client.post(&path(&key, "/extend"), &ExtendRequest { expires }).await?;
    print(&match options.output {
        Format::Json | Format::Yaml => document(options.output, &answer)?,
        Format::Name => format!("{key}\n"),
        Format::Table | Format::Wide => match &answer.expires {
            Some(expires) => format!("{key} is kept until {}.\n", printable(expires)),
            None => format!("{key} is kept until somebody deletes it.\n"),
        },
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A moment, or how long it is until then.
pub(crate) fn time(text: &str, now: Timestamp) -> miette::Result<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let wrong = || miette!(help = "such as 7d, 12h or 2030-01-31T12:00:00Z", "{text:?} is not a time");
    let span: Span = text.parse().map_err(|_| wrong())?;
    if span.is_negative() || span.is_zero() {
        return Err(miette!(help = "such as 7d or 12h", "{text:?} is over already"));
    }
    let then = now
        .to_zoned(TimeZone::UTC)
        .checked_add(span)
        .into_diagnostic()
        .wrap_err_with(|| format!("{text:?}"))?;
    // To the second, as Kubernetes writes times.
    Timestamp::from_second(then.timestamp().as_second()).into_diagnostic()
}

/// `key=value`, the value as JSON, or else as a text.
fn parameter(text: &str) -> miette::Result<(String, Value)> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => {
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
            Ok((key.to_owned(), value))
        }
        _ => Err(miette!(help = "such as -p replicas=2", "{text:?} is not KEY=VALUE")),
    }
}

/// `name=tag` or `name=sha256:…`.
fn image(text: &str) -> miette::Result<Image> {
    match text.rsplit_once('=') {
        Some((name, tag)) if !name.is_empty() && !tag.is_empty() => {
            let is_digest = tag.starts_with("sha256:");
            Ok(Image {
                name: name.to_owned(),
                new_name: None,
                tag: (!is_digest).then(|| tag.to_owned()),
                digest: is_digest.then(|| tag.to_owned()),
            })
        }
        _ => Err(miette!(help = "such as --image registry.example.com/web=v2", "{text:?} is not NAME=TAG")),
    }
}

/// The mail address that the person's own commits have, if Git is there and knows one.
fn own_email() -> Option<String> {
    let output = std::process::Command::new("git").args(["config", "user.email"]).output().ok()?;
    let email = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !email.is_empty()).then_some(email)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_moment_or_how_long_it_is_until_then() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("7d", "2026-01-08T00:00:00Z"),
            ("12h", "2026-01-01T12:00:00Z"),
            ("1d12h", "2026-01-02T12:00:00Z"),
            ("2030-01-31T12:00:00Z", "2030-01-31T12:00:00Z"),
        ] {
            assert_eq!(time(text, now).unwrap().to_string(), expected, "{text}");
        }
        for text in ["", "soon", "-1d", "0h", "7"] {
            assert!(time(text, now).is_err(), "{text}");
        }
    }

    #[test]
    fn parameters_and_images_are_read() {
        assert_eq!(parameter("a=2").unwrap(), ("a".into(), 2.into()));
        assert_eq!(parameter("a=b=c").unwrap(), ("a".into(), "b=c".into()));
        assert!(parameter("a").is_err() && parameter("=x").is_err());
        let tagged = image("registry:5000/web=v2").unwrap();
        assert_eq!((tagged.name.as_str(), tagged.tag.as_deref()), ("registry:5000/web", Some("v2")));
        assert_eq!(image("web=sha256:ab").unwrap().digest.as_deref(), Some("sha256:ab"));
        assert!(image("web").is_err() && image("web=").is_err());
    }
}
