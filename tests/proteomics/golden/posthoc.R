# Reference values of simultaneous limits after Tukey; reads differential/*.csv, writes posthoc/*.csv.
# Run in this folder: Rscript posthoc.R
# qtukey stops its search at 1e-4, so each limit is written twice: as emmeans has it (low, high), and
# with the quantile solved tightly from ptukey (tight_low, tight_high).
suppressMessages({library(lmerTest); library(emmeans)})
emm_options(lmer.df = "satterthwaite")
read <- function(name) read.csv(file.path("differential", paste0(name, ".csv")), check.names = FALSE)
save <- function(table, name) {
  for (j in seq_along(table)) if (is.numeric(table[[j]])) table[[j]] <- sprintf("%.17g", table[[j]])
  write.csv(table, file.path("posthoc", paste0(name, ".csv")), row.names = FALSE, quote = FALSE)
}
tight <- function(level, k, df) uniroot(function(q) ptukey(q, k, df, lower.tail = FALSE) - (1 - level),
  c(0.1, 200), tol = 1e-13, maxiter = 10000)$root
limits <- function(case, assay, model, specs, k, level) {
  e <- as.data.frame(summary(pairs(emmeans(model, specs)), infer = c(TRUE, TRUE), level = level))
  half <- sapply(e$df, function(df) tight(level, k, df)) / sqrt(2) * e$SE
  data.frame(case = case, level = level, assay = assay, contrast = as.character(e$contrast),
    estimate = e$estimate, df = e$df, p = e$p.value, low = e$lower.CL, high = e$upper.CL,
    tight_low = e$estimate - half, tight_high = e$estimate + half)
}
obs <- read("obs")
obs$group <- factor(obs$group, levels = c("MS", "TN", "control"))
obs$visit <- factor(obs$visit, levels = c("followup", "preop"))
values <- t(read("missing"))
three <- read("repeated_obs"); repeated <- t(read("repeated"))
three$time <- factor(three$time); three$person <- factor(three$person)
control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10), calc.derivs = FALSE, check.conv.singular = "ignore")
out <- list()
for (a in setdiff(rownames(values)[1:20], "a003")) {
  table <- cbind(obs, y = values[a, ])
  for (level in c(0.95, 0.99)) out <- c(out, list(limits("anova", a, lm(y ~ group + age, table), "group", 3, level)))
  out <- c(out, list(limits("interaction", a, lm(y ~ group * visit, table), c("group", "visit"), 6, 0.95)))
}
for (a in rownames(repeated)) {
  table <- cbind(three, y = repeated[a, ]); table$y[c(2, 17, 30)] <- NA
  model <- suppressMessages(lmerTest::lmer(y ~ time + (1 | person), table, control = control))
  out <- c(out, list(limits("mixed", a, model, "time", length(levels(three$time)), 0.95)))
}
save(do.call(rbind, out), "limits")
grid <- expand.grid(k = c(2, 3, 5, 10, 30), df = c(2, 3.7, 10, 60, 1e4), level = c(0.8, 0.95, 0.999))
grid$q <- mapply(function(l, k, d) uniroot(function(q) ptukey(q, k, d, lower.tail = FALSE) - (1 - l),
  c(0.01, 2000), tol = 1e-13, maxiter = 10000)$root, grid$level, grid$k, grid$df)
save(grid, "quantiles")
