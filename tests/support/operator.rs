//! The operator under test: installed once by its chart, with settings that tests can wait for.

use std::{env, path::Path, sync::Once};

use crate::programs::{repository, succeed, tool, workspace_binary};

/// Namespace of the operator.
pub const NAMESPACE: &str = "exportjob-system";
/// Name of the release, and of the controller's Deployment.
pub const RELEASE: &str = "exportjob-operator";

/// Settings of the operator: short where a test waits for the end of a time, and of no matter to the others.
pub const SETTINGS: [&str; 6] = [
    "timeouts.referenceSeconds=90",
    "timeouts.startGraceSeconds=45",
    "timeouts.cancellationSeconds=60",
    "timeouts.progressIntervalSeconds=1",
    "exporter.allowedImages={registry.invalid/*}",
    "imsOrgId=1BD6382559DF0C130A49422D@AdobeOrg",
];

/// Whether tests on a cluster are wanted. Where they are not, the caller says so and ends.
pub fn wanted() -> bool {
    let wanted = env::var_os("EXPORTJOB_E2E").is_some_and(|value| value == "1");
    if !wanted {
        eprintln!("skipped: this test needs a cluster; run 'make e2e', or set EXPORTJOB_E2E=1 and KUBECONFIG");
    }
    wanted
}

/// An image of this project as `repository:tag`: that of the variable, or the one that `make images` makes.
pub fn image(variable: &str, name: &str) -> String {
    env::var(variable).unwrap_or_else(|_| format!("{name}:dev"))
}

/// Image of the toolbox.
pub fn toolbox_image() -> String {
    image("EXPORTJOB_TOOLBOX_IMAGE", "exportjob-toolbox")
}

/// Image of the exporter.
pub fn exporter_image() -> String {
    image("EXPORTJOB_EXPORTER_IMAGE", "exportjob-exporter")
}

/// Installs the operator, once in a program; with `EXPORTJOB_E2E_INSTALL=0` what is installed is used as it is.
pub fn ensure_installed() {
    static INSTALLED: Once = Once::new();
    if env::var_os("EXPORTJOB_E2E_INSTALL").is_none_or(|value| value != "0") {
        INSTALLED.call_once(|| install(&[]));
    }
}

/// Installs the chart, or upgrades it, with [`SETTINGS`] and some more of the form `path=value`.
pub fn install(more: &[&str]) {
    let mut arguments: Vec<String> = ["upgrade", "--install", RELEASE].map(str::to_owned).to_vec();
    arguments.push(repository().join("charts/exportjob-operator").display().to_string());
    arguments.extend(
        [
            "--namespace",
            NAMESPACE,
            "--create-namespace",
            "--wait",
            "--timeout",
            "4m",
        ]
        .map(str::to_owned),
    );
    let images = [
        (
            "controller.image",
            image("EXPORTJOB_CONTROLLER_IMAGE", "exportjob-controller"),
        ),
        ("exporter.image", exporter_image()),
    ];
    for (value, image) in images {
        let (repository, tag) = image.rsplit_once(':').unwrap_or((&image, "latest"));
        arguments.extend([
            "--set-string".to_owned(),
            format!("{value}.repository={repository},{value}.tag={tag}"),
        ]);
    }
    for setting in SETTINGS.iter().chain(more) {
        arguments.extend(["--set".to_owned(), (*setting).to_owned()]);
    }
    if env::var_os("EXPORTJOB_CONTROLLER_IMAGE").is_none() {
        // The tag stays the same from build to build: this makes a new one start.
        let digest = succeed(Path::new("sha256sum"), &[workspace_binary("exportjob-controller")], b"");
        let digest = String::from_utf8_lossy(&digest[..16]).into_owned();
        arguments.extend([
            "--set-string".to_owned(),
            format!("controller.podAnnotations.exportjob\\.dev/binary={digest}"),
        ]);
    }
    helm(&arguments);
}

/// Runs helm, which must succeed.
pub fn helm<A: AsRef<std::ffi::OsStr>>(arguments: &[A]) -> String {
    String::from_utf8_lossy(&succeed(&tool("helm"), arguments, b"")).into_owned()
}

/// Runs kubectl, which must succeed.
pub fn kubectl<A: AsRef<std::ffi::OsStr>>(arguments: &[A], input: &[u8]) -> Vec<u8> {
    succeed(&tool("kubectl"), arguments, input)
}

/// Path as an argument.
pub fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
