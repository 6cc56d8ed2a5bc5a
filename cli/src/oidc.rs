//! Settings of the login by OpenID Connect, the same for `seaway up` and `seaway serve`.

use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use miette::{IntoDiagnostic, WrapErr, miette};
use seaway_server::{Oidc, OidcRole, Role};
use secrecy::SecretString;

/// A longer secret or list of certificates is none, in bytes.
const LARGEST: u64 = 1 << 20;

/// Who vouches for people besides their passwords here.
#[derive(clap::Args)]
#[command(next_help_heading = "Login by OpenID Connect")]
pub(crate) struct OidcOptions {
    /// Issuer of the provider, as it calls itself: people may then log in there
    #[arg(long, env = "SEAWAY_OIDC_ISSUER", value_name = "URL", requires = "oidc_client_id")]
    oidc_issuer: Option<String>,
    /// What the login page calls it
    #[arg(long, env = "SEAWAY_OIDC_NAME", value_name = "NAME", default_value = "OpenID Connect")]
    oidc_name: String,
    /// Name of this server there; its redirect is /api/v1/oidc/callback below the external URL
    #[arg(long, env = "SEAWAY_OIDC_CLIENT_ID", value_name = "ID")]
    oidc_client_id: Option<String>,
    /// File with its secret there [default: a public client, with PKCE]
    #[arg(long, env = "SEAWAY_OIDC_CLIENT_SECRET_FILE", value_name = "FILE")]
    oidc_client_secret_file: Option<PathBuf>,
    /// What is asked for besides openid; can be repeated
    #[arg(
        long = "oidc-scope",
        env = "SEAWAY_OIDC_SCOPE",
        value_name = "SCOPE",
        value_delimiter = ',',
        default_value = "profile"
    )]
    oidc_scopes: Vec<String>,
    /// Claim with the name of a person
    #[arg(
        long,
        env = "SEAWAY_OIDC_USERNAME_CLAIM",
        value_name = "CLAIM",
        default_value = "preferred_username"
    )]
    oidc_username_claim: String,
    /// Claim with the groups of a person
    #[arg(long, env = "SEAWAY_OIDC_GROUPS_CLAIM", value_name = "CLAIM", default_value = "groups")]
    oidc_groups_claim: String,
    /// What a group there is here: GROUP=ROLE or GROUP=ROLE:STACK/CLASS; can be repeated
    #[arg(long = "oidc-role", env = "SEAWAY_OIDC_ROLE", value_name = "GROUP=ROLE", value_delimiter = ',')]
    oidc_roles: Vec<OidcRole>,
    /// Role of whoever has no group with one [default: nobody gets in without]
    #[arg(long, env = "SEAWAY_OIDC_DEFAULT_ROLE", value_name = "ROLE", value_parser = roles())]
    oidc_default_role: Option<Role>,
    /// Certificates (PEM) of who vouches for the provider [default: those that the machine trusts]
    #[arg(long, env = "SEAWAY_OIDC_CA", value_name = "FILE")]
    oidc_ca: Option<PathBuf>,
}

fn roles() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::as_str)).try_map(|text| text.parse::<Role>())
}

impl OidcOptions {
    /// The provider, if one is set.
    pub(crate) fn provider(self) -> miette::Result<Option<Oidc>> {
        let Some(issuer) = self.oidc_issuer else { return Ok(None) };
        // The settings of a file need not come together.
        let client_id = self
            .oidc_client_id
            .ok_or_else(|| miette!(help = "give --oidc-client-id", "the provider {issuer} needs a client"))?;
        let client_secret = self.oidc_client_secret_file.as_deref().map(secret).transpose()?;
        let authority = self.oidc_ca.as_deref().map(read).transpose()?;
        Ok(Some(Oidc {
            issuer,
            display_name: self.oidc_name,
            client_id,
            client_secret,
            scopes: self.oidc_scopes,
            username_claim: self.oidc_username_claim,
            groups_claim: self.oidc_groups_claim,
            roles: self.oidc_roles,
            default_role: self.oidc_default_role,
            authority,
        }))
    }
}

fn read(path: &Path) -> miette::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(LARGEST).read_to_end(&mut bytes))
        .into_diagnostic()
        .wrap_err_with(|| format!("{} cannot be read", path.display()))?;
    Ok(bytes)
}

/// An editor's line end is no part of it.
fn secret(path: &Path) -> miette::Result<SecretString> {
    let text = String::from_utf8(read(path)?).map_err(|_| miette!("{} holds no text", path.display()))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(miette!("{} is empty", path.display())),
        secret => Ok(secret.to_owned().into()),
    }
}
