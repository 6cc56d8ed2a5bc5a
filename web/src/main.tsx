/** Starts the page. */
import { render } from "preact";
import { App } from "./app";
import { startRouter } from "./router";
import { loadSession } from "./state/session";
import { startTheme } from "./state/theme";
import "./style/main.css";

startTheme();
startRouter();
void loadSession();
const root = document.getElementById("app");
if (root) render(<App />, root);
