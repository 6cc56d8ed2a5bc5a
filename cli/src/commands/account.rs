//! `seaway account`: who can log in.

use std::process::ExitCode;

use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;
use seaway_server::{
    AccountList, AccountRequest, AccountState, AccountView, Done, Grant, InvitationView, Role, RoleRequest,
};
use secrecy::ExposeSecret;

use super::env::encoded;
use super::env::output::{Cell, Format, Paint, Tone, age, document, moment, print, printable, table};
use super::question;
use crate::client::{Client, ServerOptions};

/// Options of `seaway account`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway account create ada --role developer
  seaway account list
  seaway account role ada --role viewer --grant operator:shop/staging
  seaway account invite ada
  seaway account delete ada

A new account has no password: its link lets the person choose one, once, within three days. Who is
more than a viewer gets the namespace seaway-NAME for environments of his own. You need the rights
to list, create, update and delete accounts.seaway.dev.")]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerOptions,
}

#[derive(Subcommand)]
enum Command {
    /// Make an account, and print the link with which its person chooses a password
    Create(CreateOptions),
    /// List accounts
    List(ListOptions),
    /// Say what an account is for from now on
    Role(RoleOptions),
    /// Print a new link to an account, for a lost link or a forgotten password
    Invite(InviteOptions),
    /// Delete an account, with the namespace of its environments, and end its logins
    Delete(DeleteOptions),
}

/// Options of `seaway account create`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway account create ada
  seaway account create grace --role operator
  seaway account create alan --role developer --grant developer:shop/staging --grant approver:*/production
  seaway account create ada -o json | jq -r .link

Give the link to that person alone: whoever opens it first has the account.

Roles:
  viewer     looks at shared environments
  developer  has environments of his own as well
  approver   lets changes into shared environments, or keeps them out
  operator   runs the shared environments, too
  admin      may do everything, also add people

A grant is a role within part of the shared environments: ROLE:STACK, ROLE:STACK/CLASS or ROLE:*/CLASS.")]
struct CreateOptions {
    /// Name of the account, and of the user in Kubernetes
    name: String,
    /// What the account is for
    #[arg(long, default_value_t = Role::Developer, value_parser = roles())]
    role: Role,
    /// A role within a stack, a class, or both; can be repeated
    #[arg(long = "grant", value_name = "ROLE:STACK/CLASS")]
    grants: Vec<Grant>,
    /// No role but the grants
    #[arg(long, conflicts_with = "role", requires = "grants")]
    only_grants: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Options of `seaway account role`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway account role ada --role operator
  seaway account role ada --role viewer --grant developer:shop/staging --grant approver:*/production
  seaway account role ada --grant viewer:shop        # that, and nothing else

What is not named is taken away, at once. The last account that may add people keeps that.")]
struct RoleOptions {
    /// Name of the account
    name: String,
    /// What the account is for
    #[arg(long, value_parser = roles(), required_unless_present = "grants")]
    role: Option<Role>,
    /// A role within a stack, a class, or both; can be repeated
    #[arg(long = "grant", value_name = "ROLE:STACK/CLASS")]
    grants: Vec<Grant>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Options of `seaway account list`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway account list
  seaway account list -o json | jq -r '.[] | select(.state == \"invited\") | .name'")]
struct ListOptions {
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Options of `seaway account invite`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway account invite ada

The link before is of no use any more. A password stays valid until the new link is used; then all
logins of the account end.")]
struct InviteOptions {
    /// Name of the account
    name: String,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Options of `seaway account delete`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  seaway account delete ada
  seaway account delete ada --yes

While the account has environments it is locked instead: nobody can log in with it any more. Delete
the environments, then the account again.")]
struct DeleteOptions {
    /// Name of the account
    name: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

fn roles() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::as_str)).try_map(|text| text.parse::<Role>())
}

/// Runs a subcommand.
pub(crate) async fn run(options: Options) -> miette::Result<ExitCode> {
    let client = Client::find(&options.server)?;
    match options.command {
        Command::Create(options) => {
            let role = (!options.only_grants).then_some(options.role);
            let request = AccountRequest { name: options.name, role, grants: options.grants };
            let made: InvitationView = client.post("/api/v1/accounts", &request).await?;
            print(&invitation(options.output, &absolute(&client, made))?)?;
        }
        Command::List(options) => {
            let list: AccountList = client.get("/api/v1/accounts").await?;
            print(&accounts(options.output, &list.items, Timestamp::now())?)?;
            if list.items.is_empty() && matches!(options.output, Format::Table | Format::Wide) {
                eprintln!("No accounts found.");
            }
        }
        Command::Role(options) => {
            let request = RoleRequest { role: options.role, grants: options.grants };
            let account: AccountView = client.put(&path(&options.name, "/role"), &request).await?;
            print(&accounts(options.output, &[account], Timestamp::now())?)?;
        }
        Command::Invite(options) => {
            let made: InvitationView = client.post(&path(&options.name, "/invitation"), &()).await?;
            print(&invitation(options.output, &absolute(&client, made))?)?;
        }
        Command::Delete(DeleteOptions { name, yes }) => {
            if !yes && !question::confirmed(&format!("the account {name}"), &name)? {
                eprintln!("Nothing was deleted.");
                return Ok(ExitCode::FAILURE);
            }
            let _: Done = client.delete(&path(&name, "")).await?;
            print(&format!("{} is deleted.\n", printable(&name)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn path(name: &str, rest: &str) -> String {
    format!("/api/v1/accounts/{}{rest}", encoded(name))
}

/// With a link that can be opened: the server knows no address of its own.
fn absolute(client: &Client, made: InvitationView) -> InvitationView {
    let link = format!("{}{}", client.url(), printable(made.link.expose_secret())).into();
    InvitationView { link, ..made }
}

fn invitation(format: Format, made: &InvitationView) -> miette::Result<String> {
    Ok(match format {
        Format::Json | Format::Yaml => document(format, made)?,
        Format::Name => format!("{}\n", printable(&made.account.name)),
        Format::Table | Format::Wide => {
            let (name, until) = (printable(&made.account.name), moment(made.expires));
            let role = made.account.role.map(|role| format!(" as {role}")).unwrap_or_default();
            let link = made.link.expose_secret();
            format!("{name} can log in{role} after choosing a password, once, until {until}, at\n{link}\n")
        }
    })
}

fn accounts(format: Format, items: &[AccountView], now: Timestamp) -> miette::Result<String> {
    if matches!(format, Format::Json | Format::Yaml) {
        return document(format, &items);
    }
    if format == Format::Name {
        return Ok(items.iter().map(|one| format!("{}\n", printable(&one.name))).collect());
    }
    let wide = format == Format::Wide;
    let row = |one: &AccountView| {
        let state = match one.state {
            AccountState::Active => Cell("active".to_owned(), Tone::Good),
            AccountState::Invited => Cell("invited".to_owned(), Tone::Busy),
            AccountState::Locked => Cell("locked".to_owned(), Tone::Bad),
        };
        let role = Cell::from(one.role.map(Role::as_str));
        let link = Cell::from(one.invited_until.map(moment).as_deref());
        let mut row = vec![one.name.as_str().into(), role, state, link, age(one.created, now).into()];
        if wide {
            let grants: Vec<String> = one.grants.iter().map(Grant::to_string).collect();
            row.extend([grants.join(",").into(), one.groups.join(",").into()]);
        }
        row
    };
    let mut head = vec!["NAME", "ROLE", "STATE", "LINK UNTIL", "AGE"];
    if wide {
        head.extend(["GRANTS", "GROUPS"]);
    }
    let rows: Vec<Vec<Cell>> = items.iter().map(row).collect();
    Ok(if rows.is_empty() { String::new() } else { table(Paint::for_stdout(), &head, &rows) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ada(state: &str) -> AccountView {
        let mut ada = json!({"name": "ada", "role": "developer", "groups": ["seaway:developers"],
            "grants": ["operator:shop"],
            "state": state, "created": "2024-01-01T00:00:00Z"});
        if state == "invited" {
            ada["invitedUntil"] = "2024-01-04T00:00:00Z".into();
        }
        serde_json::from_value(ada).unwrap()
    }

    #[test]
    fn accounts_are_printed_as_kubectl_would() {
        let now = "2024-01-01T00:03:00Z".parse().unwrap();
        let printed = accounts(Format::Wide, &[ada("invited")], now).unwrap();
        assert_eq!(
            printed,
            "NAME   ROLE        STATE     LINK UNTIL             AGE   GRANTS          GROUPS\n\
             ada    developer   invited   2024-01-04T00:00:00Z   3m    operator:shop   seaway:developers\n"
        );
        assert_eq!(accounts(Format::Name, &[ada("active")], now).unwrap(), "ada\n");
        let json: serde_json::Value =
            serde_json::from_str(&accounts(Format::Json, &[ada("active")], now).unwrap()).unwrap();
        assert_eq!((&json[0]["name"], &json[0]["state"]), (&json!("ada"), &json!("active")));
    }

    #[test]
    fn a_link_is_printed_where_it_was_asked_for_and_not_by_accident() {
        let made = InvitationView {
            account: ada("invited"),
            link: "http://127.0.0.1:7420/join#code".to_owned().into(),
            expires: "2024-01-04T00:00:00Z".parse().unwrap(),
        };
        assert!(!format!("{made:?}").contains("join#code"));
        assert_eq!(
            invitation(Format::Table, &made).unwrap(),
            "ada can log in as developer after choosing a password, once, until 2024-01-04T00:00:00Z, at\n\
             http://127.0.0.1:7420/join#code\n"
        );
        let json: serde_json::Value =
            serde_json::from_str(&invitation(Format::Json, &made).unwrap()).unwrap();
        assert_eq!(json["link"], "http://127.0.0.1:7420/join#code");
        assert_eq!(json["account"]["name"], "ada");
    }
}
