// Keys go to the terminal without a click, and what is said when a session ends or there is no place for one.
// textual.js shows the terminal and sets the body's classes: -loaded, -first-byte, -closed.
"use strict";
const is = (name) => document.body.classList.contains(name);
const said = document.querySelector("#said p"), again = document.querySelector("#said button");
again.addEventListener("click", () => location.reload());

async function ended() {
  try {
    const answer = await fetch("/places");
    return is("-loaded") && answer.ok ? "The session has ended." : await answer.text();
  } catch (error) {
    console.log("no answer: " + error);
    return "The server has ended, or can't be reached. Start twinloop tui --web again, and open the URL that it prints.";
  }
}

let focused = false;
const watch = new MutationObserver(async () => {
  if (is("-first-byte") && !focused) {
    focused = true;
    document.querySelector(".xterm-helper-textarea").focus();
  }
  if (is("-closed")) {
    watch.disconnect();
    said.textContent = await ended();
    again.hidden = false;
  }
});
watch.observe(document.body, { attributes: true, attributeFilter: ["class"] });
