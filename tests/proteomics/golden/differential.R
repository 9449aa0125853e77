# Reference values of the tests of differential abundance; writes differential/*.csv.
# Run in this folder: Rscript differential.R
suppressMessages({library(limma); library(lmerTest); library(car); library(emmeans); library(ordinal)})
read <- function(name) read.csv(file.path("differential", paste0(name, ".csv")), check.names = FALSE)
save <- function(table, name) {
  for (j in seq_along(table)) if (is.numeric(table[[j]])) table[[j]] <- sprintf("%.17g", table[[j]])
  write.csv(table, file.path("differential", paste0(name, ".csv")), row.names = FALSE, quote = FALSE)
}
obs <- read("obs")
obs$group <- factor(obs$group, levels = c("control", "TN", "MS"))
obs$visit <- factor(obs$visit, levels = c("preop", "followup"))
obs$plate <- factor(obs$plate)
values <- list(complete = t(read("complete")), missing = t(read("missing")))
design <- model.matrix(~ group + age + plate, obs)

row_of <- function(fit, coefficient, case) data.frame(
  case = case, assay = rownames(fit$coefficients), estimate = fit$coefficients[, coefficient],
  t = fit$t[, coefficient], p = fit$p.value[, coefficient], df = fit$df.total,
  s2_prior = rep_len(fit$s2.prior, nrow(fit$coefficients)),
  df_prior = rep_len(fit$df.prior, nrow(fit$coefficients)))
out <- list()
for (name in names(values)) {
  fit <- lmFit(values[[name]], design)
  out[[name]] <- row_of(eBayes(fit), "groupTN", name)
  out[[paste0(name, "ms")]] <- row_of(eBayes(fit), "groupMS", paste0(name, "_ms"))
  out[[paste0(name, "t")]] <- row_of(eBayes(fit, trend = TRUE), "groupTN", paste0(name, "_trend"))
  out[[paste0(name, "r")]] <- row_of(suppressWarnings(eBayes(fit, robust = TRUE)), "groupTN", paste0(name, "_robust"))
}
pair <- contrasts.fit(lmFit(values$complete, design), makeContrasts(groupTN - groupMS, levels = make.names(colnames(design))))
out$pair <- row_of(eBayes(pair), 1, "complete_tn_ms")
# Real variances alike: the prior takes over.
same <- lmFit(scale(values$complete) , design)
out$same <- row_of(eBayes(lmFit(t(scale(t(values$complete))), design)), "groupTN", "scaled")
aw <- arrayWeights(values$complete, design, method = "reml", maxiter = 500, tol = 1e-12)
awp <- arrayWeights(values$complete, design)
awm <- arrayWeights(values$missing, design)
save(data.frame(reml = aw, default = awp, missing = awm), "array_weights")
out$aw <- row_of(eBayes(lmFit(values$complete, design, weights = aw)), "groupTN", "complete_weights")
within <- model.matrix(~ visit, obs)
rho <- list()
for (name in names(values)) {
  dc <- duplicateCorrelation(values[[name]], within, block = obs$person)
  rho[[name]] <- data.frame(case = name, assay = rownames(values[[name]]), rho = tanh(dc$atanh.correlations), consensus = dc$consensus.correlation)
  fit <- lmFit(values[[name]], within, block = obs$person, correlation = dc$consensus.correlation)
  out[[paste0(name, "b")]] <- row_of(eBayes(fit), "visitfollowup", paste0(name, "_block"))
}
save(do.call(rbind, rho), "correlation")
save(do.call(rbind, out), "limma")

# Two groups, pairs and ranks.
tn <- obs$group == "TN"; control <- obs$group == "control"
ids <- rownames(values$missing)
first <- function(x) x[seq(1, length(x), 2)]; second <- function(x) x[seq(2, length(x), 2)]
simple <- list()
for (a in ids) {
  y <- values$missing[a, ]; full <- values$complete[a, ]; coarse <- round(full)
  add <- function(case, h, estimate) data.frame(case = case, assay = a, estimate = unname(estimate),
    statistic = unname(h$statistic), df = if (is.null(h$parameter)) NA else unname(h$parameter),
    p = h$p.value, low = if (is.null(h$conf.int)) NA else h$conf.int[1], high = if (is.null(h$conf.int)) NA else h$conf.int[2])
  h <- t.test(y[tn], y[control]); simple <- c(simple, list(add("welch", h, h$estimate[1] - h$estimate[2])))
  h <- t.test(second(y), first(y), paired = TRUE); simple <- c(simple, list(add("paired", h, h$estimate)))
  h <- wilcox.test(y[tn], y[control], conf.int = TRUE); simple <- c(simple, list(add("rank_exact", h, h$estimate)))
  h <- suppressWarnings(wilcox.test(y[tn], y[control], conf.int = TRUE, exact = FALSE, tol.root = 1e-12))
  simple <- c(simple, list(add("rank_normal", h, h$estimate)))
  h <- suppressWarnings(wilcox.test(coarse[tn], coarse[control], exact = FALSE)); simple <- c(simple, list(add("rank_tied", h, NA)))
  h <- wilcox.test(second(y), first(y), paired = TRUE, conf.int = TRUE); simple <- c(simple, list(add("signed_exact", h, h$estimate)))
  h <- suppressWarnings(wilcox.test(second(coarse), first(coarse), paired = TRUE, exact = FALSE)); simple <- c(simple, list(add("signed_tied", h, NA)))
  h <- kruskal.test(y, obs$group); simple <- c(simple, list(add("kruskal", h, NA)))
  h <- kruskal.test(coarse, obs$group); simple <- c(simple, list(add("kruskal_tied", h, NA)))
}
three <- read("repeated_obs"); repeated <- t(read("repeated"))
three$time <- factor(three$time); three$person <- factor(three$person)
for (a in rownames(repeated)) {
  h <- friedman.test(repeated[a, ], three$time, three$person); simple <- c(simple, list(add("friedman", h, NA)))
  h <- friedman.test(round(repeated[a, ]), three$time, three$person); simple <- c(simple, list(add("friedman_tied", h, NA)))
}
save(do.call(rbind, simple), "simple")

# Type III tests and marginal means.
options(contrasts = c("contr.sum", "contr.poly"))
terms <- list(); after <- list()
for (a in ids[1:30]) {
  table <- cbind(obs, y = values$missing[a, ])
  if (a == "a003") next
  model <- lm(y ~ group * visit + age, table)
  tab <- as.data.frame(Anova(model, type = 3)); tab <- tab[c("group", "visit", "age", "group:visit"), ]
  terms <- c(terms, list(data.frame(case = "anova", assay = a, term = rownames(tab), statistic = tab[["F value"]],
    df_term = tab$Df, df = df.residual(model), p = tab[["Pr(>F)"]])))
  e <- as.data.frame(summary(pairs(emmeans(lm(y ~ group + age, table), "group")), infer = c(TRUE, TRUE)))
  after <- c(after, list(data.frame(case = "anova", assay = a, contrast = as.character(e$contrast), estimate = e$estimate,
    statistic = e$t.ratio, df = e$df, p = e$p.value)))
}
control_lmer <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10), calc.derivs = FALSE, check.conv.singular = "ignore")
for (a in rownames(repeated)) {
  table <- cbind(three, y = repeated[a, ])
  model <- suppressMessages(lmerTest::lmer(y ~ time + (1 | person), table, control = control_lmer))
  tab <- as.data.frame(anova(model, type = 3))
  terms <- c(terms, list(data.frame(case = "mixed", assay = a, term = rownames(tab), statistic = tab[["F value"]],
    df_term = tab$NumDF, df = tab$DenDF, p = tab[["Pr(>F)"]])))
  table$y[c(2, 17, 30)] <- NA
  model <- suppressMessages(lmerTest::lmer(y ~ time + (1 | person), table, control = control_lmer))
  tab <- as.data.frame(anova(model, type = 3))
  terms <- c(terms, list(data.frame(case = "mixed_unbalanced", assay = a, term = rownames(tab), statistic = tab[["F value"]],
    df_term = tab$NumDF, df = tab$DenDF, p = tab[["Pr(>F)"]])))
  s <- coef(summary(suppressMessages(lmerTest::lmer(y ~ C(time, contr.treatment) + (1 | person), table, control = control_lmer))))[2, ]
  after <- c(after, list(data.frame(case = "mixed_unbalanced", assay = a, contrast = "t1 - t0", estimate = s[1], statistic = s[4], df = s[3], p = s[5])))
}
for (a in ids[1:12]) {
  table <- cbind(obs, y = values$missing[a, ]); table <- table[!is.na(table$y), ]
  table$r <- factor(rank(table$y), ordered = TRUE)
  options(contrasts = c("contr.treatment", "contr.poly"))
  model <- clm(r ~ group + age, data = table, control = clm.control(gradTol = 1e-10, maxIter = 500))
  s <- coef(summary(model))["groupTN", ]
  after <- c(after, list(data.frame(case = "ordinal", assay = a, contrast = "TN - control", estimate = s[1], statistic = s[3], df = NA, p = s[4])))
}
save(do.call(rbind, terms), "terms")
save(do.call(rbind, after), "contrasts")
