//! `seaway token`: personal access tokens, for programs that act for you.

use std::process::ExitCode;

use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;
use miette::miette;
use seaway_server::{AccessTokenList, AccessTokenRequest, AccessTokenView, Done, NewAccessToken, Scope};
use secrecy::ExposeSecret;

use super::env::copies::time;
use super::env::output::{Cell, Format, Paint, age, document, moment, print, printable, table};
use crate::client::{Client, ServerOptions};

/// Options of `seaway token`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway token create ci --scope deploy --expires 30d
  seaway token list
  seaway token revoke ci

A token lets a program do what you may, within its scopes, until it ends or is revoked; the program
sends it as SEAWAY_TOKEN. Only who has logged in (`seaway login`) makes, lists and revokes tokens.")]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerOptions,
}

#[derive(Subcommand)]
enum Command {
    /// Make a token, and print it, once
    Create(CreateOptions),
    /// List your tokens
    List(ListOptions),
    /// End a token at once
    Revoke(RevokeOptions),
}

/// Options of `seaway token create`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway token create dashboard
  seaway token create ci --scope deploy --expires 30d
  SEAWAY_TOKEN=$(seaway token create script --expires 1h -o name) seaway env list

Scopes:
  read       see environments; every token may
  deploy     sync, roll back, hold and approve
  write      make, change and delete environments
  accounts   see, add, change and remove people
  audit      read and export who did what")]
struct CreateOptions {
    /// What it is for
    name: String,
    /// What it may be used for besides reading; can be repeated
    #[arg(long = "scope", value_parser = scopes(), value_delimiter = ',')]
    scopes: Vec<Scope>,
    /// Until when it is good: a time (RFC 3339), or how long from now on; at most a year
    #[arg(long, value_name = "TIME", default_value = "30d")]
    expires: String,
    /// How to print; name prints the token alone
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Options of `seaway token list`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway token list
  seaway token list -o json | jq -r '.[] | select(.used == null) | .name'")]
struct ListOptions {
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Options of `seaway token revoke`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway token revoke ci
  seaway token revoke 3")]
struct RevokeOptions {
    /// Its name, or its number
    token: String,
}

fn scopes() -> impl TypedValueParser<Value = Scope> {
    PossibleValuesParser::new(Scope::ALL.map(Scope::as_str)).try_map(|text| text.parse::<Scope>())
}

const PATH: &str = "/api/v1/access-tokens";

/// Runs a subcommand.
pub(crate) async fn run(options: Options) -> miette::Result<ExitCode> {
    let client = Client::find(&options.server)?;
    match options.command {
        Command::Create(options) => {
            let expires = time(&options.expires, Timestamp::now())?;
            let request = AccessTokenRequest { name: options.name, scopes: options.scopes, expires };
            let made: NewAccessToken = client.post(PATH, &request).await?;
            print(&created(options.output, &made)?)?;
        }
        Command::List(options) => {
            let list: AccessTokenList = client.get(PATH).await?;
            print(&tokens(options.output, &list.items, Timestamp::now())?)?;
            if list.items.is_empty() && matches!(options.output, Format::Table | Format::Wide) {
                eprintln!("No tokens found.");
            }
        }
        Command::Revoke(RevokeOptions { token }) => {
            let list: AccessTokenList = client.get(PATH).await?;
            let found = find(&list.items, &token)?;
            let _: Done = client.delete(&format!("{PATH}/{}", found.id)).await?;
            print(&format!("{} is revoked.\n", printable(&found.name)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A name counts before a number.
fn find<'a>(items: &'a [AccessTokenView], token: &str) -> miette::Result<&'a AccessTokenView> {
    let by_name = items.iter().find(|one| one.name == token);
    by_name.or_else(|| items.iter().find(|one| one.id.to_string() == token)).ok_or_else(|| {
        miette!(help = "`seaway token list` lists yours", "you have no token {:?}", printable(token))
    })
}

fn created(format: Format, made: &NewAccessToken) -> miette::Result<String> {
    let token = made.token.expose_secret();
    Ok(match format {
        Format::Json | Format::Yaml => document(format, made)?,
        Format::Name => format!("{token}\n"),
        Format::Table | Format::Wide => {
            let (name, until) = (printable(&made.about.name), moment(made.about.expires));
            let scopes = words(&made.about.scopes);
            format!("{name} ({scopes}) is good until {until}. It is shown only now:\n{token}\n")
        }
    })
}

fn words(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(",")
}

fn tokens(format: Format, items: &[AccessTokenView], now: Timestamp) -> miette::Result<String> {
    if matches!(format, Format::Json | Format::Yaml) {
        return document(format, &items);
    }
    if format == Format::Name {
        return Ok(items.iter().map(|one| format!("{}\n", printable(&one.name))).collect());
    }
    let row = |one: &AccessTokenView| {
        let used = one.used.map(|used| age(used, now));
        vec![
            one.id.to_string().into(),
            one.name.as_str().into(),
            words(&one.scopes).into(),
            moment(one.expires).into(),
            Cell::from(used.as_deref()),
            age(one.created, now).into(),
        ]
    };
    let head = ["ID", "NAME", "SCOPES", "GOOD UNTIL", "LAST USED", "AGE"];
    let rows: Vec<Vec<Cell>> = items.iter().map(row).collect();
    Ok(if rows.is_empty() { String::new() } else { table(Paint::for_stdout(), &head, &rows) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn token(id: i64, name: &str) -> AccessTokenView {
        serde_json::from_value(json!({"id": id, "name": name, "scopes": ["read", "deploy"],
            "created": "2024-01-01T00:00:00Z", "expires": "2024-01-31T00:00:00Z"}))
        .unwrap()
    }

    #[test]
    fn tokens_are_printed_as_kubectl_would() {
        let now = "2024-01-01T00:03:00Z".parse().unwrap();
        assert_eq!(
            tokens(Format::Table, &[token(3, "ci")], now).unwrap(),
            "ID   NAME   SCOPES        GOOD UNTIL             LAST USED   AGE\n\
             3    ci     read,deploy   2024-01-31T00:00:00Z   -           3m\n"
        );
        assert_eq!(tokens(Format::Name, &[token(3, "ci")], now).unwrap(), "ci\n");
    }

    #[test]
    fn a_token_is_found_by_its_name_and_else_by_its_number() {
        let items = [token(3, "ci"), token(4, "3")];
        assert_eq!(find(&items, "3").unwrap().id, 4);
        assert_eq!(find(&items, "ci").unwrap().id, 3);
        assert_eq!(find(&items, "4").unwrap().id, 4);
        assert!(find(&items, "5").is_err());
    }

    #[test]
    fn a_token_is_printed_where_it_was_asked_for_and_not_by_accident() {
        let made = NewAccessToken { about: token(3, "ci"), token: "swy_p_secret".to_owned().into() };
        assert!(!format!("{made:?}").contains("swy_p_secret"));
        assert_eq!(created(Format::Name, &made).unwrap(), "swy_p_secret\n");
        let json: serde_json::Value = serde_json::from_str(&created(Format::Json, &made).unwrap()).unwrap();
        assert_eq!((&json["token"], &json["name"]), (&json!("swy_p_secret"), &json!("ci")));
    }
}
