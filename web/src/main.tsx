/** Starts the page. */
import { render } from "preact";
import { App } from "./app";
import { watchForSleep } from "./live/stream";
import { startRouter } from "./router";
import { loadSession } from "./state/session";
import { startTheme } from "./state/theme";
import "./style/main.css";

startTheme();
startRouter();
watchForSleep();
void loadSession();
const root = document.getElementById("app");
if (root) render(<App />, root);
